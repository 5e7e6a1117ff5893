package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func (o *Opened) use(t *testing.T, secrets []auth.ClientSecretUse, grants []auth.GrantUse) {
	t.Helper()
	if err := o.Usage.RecordUses(t.Context(), secrets, grants); err != nil {
		t.Fatalf("RecordUses: %v", err)
	}
}

func (o *Opened) secretUses(t *testing.T, client auth.ClientID) []auth.SecretUse {
	t.Helper()
	return viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]auth.SecretUse, error) {
		return tx.Usage().SecretUses(ctx, client)
	})
}

func (o *Opened) grantUses(t *testing.T, client auth.ClientID) (all []auth.GrantUse) {
	t.Helper()
	o.view(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.Usage().GrantUses(ctx, client, func(u auth.GrantUse) error {
			all = append(all, u)
			return nil
		})
	})
	return all
}

func testSecretUses(t *testing.T, o *Opened) {
	at := now().Truncate(time.Minute)
	c, other := newClient(), newClient()
	s, second, of := newSecret(c.ID), newSecret(c.ID), newSecret(other.ID)
	o.put(t, c, other, s, second, of)
	use := func(s *auth.Secret, first, last int, source string) auth.ClientSecretUse {
		return auth.ClientSecretUse{Client: s.Client, SecretUse: auth.SecretUse{
			Secret: s.ID, First: at.Add(time.Duration(first) * time.Minute), Last: at.Add(time.Duration(last) * time.Minute), Source: source,
		}}
	}
	o.use(t, nil, nil)
	wantSame(t, "uses before any", o.secretUses(t, c.ID), []auth.SecretUse{})
	lastUse := func(ctx context.Context, tx auth.Tx) (time.Time, error) { return tx.Usage().ClientUse(ctx, c.ID) }
	wantSame(t, "a client's use before any", viewed(t, o, lastUse), time.Time{})

	gone := newSecret(c.ID)
	stranger := use(of, 1, 1, "x")
	stranger.Client = c.ID // whose secret it is not
	o.use(t, []auth.ClientSecretUse{use(s, 5, 7, "a"), use(gone, 1, 1, "x"), use(of, 9, 9, "c"), stranger}, nil)
	o.use(t, []auth.ClientSecretUse{use(s, 6, 8, "b"), use(s, 3, 4, "late")}, nil)
	want := use(s, 3, 8, "b")
	wantSame(t, "uses", o.secretUses(t, c.ID), []auth.SecretUse{want.SecretUse})
	o.use(t, []auth.ClientSecretUse{use(second, 2, 10, "d")}, nil)
	wantSame(t, "a client's use", viewed(t, o, lastUse), at.Add(10*time.Minute))

	o.update(t, func(ctx context.Context, tx auth.Tx) error { return tx.Secrets().DeleteSecret(ctx, second.ID) })
	wantSame(t, "a client's use without a secret", viewed(t, o, lastUse), at.Add(8*time.Minute))
	o.use(t, []auth.ClientSecretUse{use(second, 11, 11, "d")}, nil)
	o.update(t, func(ctx context.Context, tx auth.Tx) error { return tx.Clients().DeleteClient(ctx, other.ID) })
	var left []auth.ClientSecretUse
	o.view(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.Usage().EachSecretUse(ctx, func(id auth.ClientID, u auth.SecretUse) error {
			left = append(left, auth.ClientSecretUse{Client: id, SecretUse: u})
			return nil
		})
	})
	wantSame(t, "what is left", left, []auth.ClientSecretUse{want})
}

func testGrantUses(t *testing.T, o *Opened) {
	at := now().Truncate(time.Minute)
	c, other, a, b := newClient(), newClient(), newAPI("https://a.example"), newAPI("https://b.example")
	o.put(t, c, other, a, b, newGrant(c.ID, a.ID, "read"), newGrant(c.ID, b.ID, "read"), newGrant(other.ID, a.ID, "read"))
	use := func(c *auth.Client, a *auth.API, scope string, last int, tokens int64) auth.GrantUse {
		return auth.GrantUse{Client: c.ID, API: a.ID, Scope: scope, Last: at.Add(time.Duration(last) * time.Minute), Tokens: tokens}
	}
	o.use(t, nil, []auth.GrantUse{use(c, a, "", 5, 3), use(c, a, "read", 5, 2), use(other, a, "", 1, 1), use(other, b, "", 1, 1)})
	o.use(t, nil, []auth.GrantUse{use(c, a, "", 4, 4), use(c, a, "read", 6, 1), use(c, b, "", 2, 1<<40)})
	sorted := func(uses ...auth.GrantUse) []auth.GrantUse {
		slices.SortFunc(uses, func(a, b auth.GrantUse) int {
			return cmp.Or(compareIDs(a.Client, b.Client), compareIDs(a.API, b.API), cmp.Compare(a.Scope, b.Scope))
		})
		return uses
	}
	of := []auth.GrantUse{use(c, a, "", 5, 7), use(c, a, "read", 6, 3), use(c, b, "", 2, 1<<40)}
	wantSame(t, "uses of a client's grants", o.grantUses(t, c.ID), sorted(of...))
	wantSame(t, "uses of all grants", o.grantUses(t, auth.ClientID{}), sorted(append(of, use(other, a, "", 1, 1))...))

	o.update(t, func(ctx context.Context, tx auth.Tx) error { return tx.Grants().DeleteGrant(ctx, c.ID, b.ID) })
	wantSame(t, "uses without a grant", o.grantUses(t, c.ID), []auth.GrantUse{use(c, a, "", 5, 7), use(c, a, "read", 6, 3)})
	o.update(t, func(ctx context.Context, tx auth.Tx) error { return tx.APIs().DeleteAPI(ctx, a.ID) })
	if left := o.grantUses(t, auth.ClientID{}); len(left) != 0 {
		t.Errorf("uses of grants that are gone: %v", left)
	}

	const many = 2300 // more than a page, and than one statement takes
	g := newGrant(c.ID, b.ID, "read")
	o.put(t, g)
	uses := make([]auth.GrantUse, many)
	for i := range uses {
		uses[i] = use(c, b, fmt.Sprintf("scope:%d", i), i, int64(i))
	}
	o.use(t, nil, uses)
	wantSame(t, "many uses", o.grantUses(t, c.ID), sorted(uses...))
	enough := fault.New(fault.Conflict, "enough")
	err := o.Store.View(t.Context(), func(tx auth.Tx) error {
		return tx.Usage().GrantUses(t.Context(), c.ID, func(auth.GrantUse) error { return enough })
	})
	wantError(t, "the callback's error", err, enough)
}

func testReplays(t *testing.T, o *Opened) {
	at := now()
	replay := func(key byte, age time.Duration, sealed ...byte) *auth.Replay {
		return &auth.Replay{
			Key: [32]byte{key}, Request: [32]byte{2, 0xff}, Answer: []byte(`{"id":1}`), Sealed: sealed, At: at.Add(-age).UnixMicro(),
		}
	}
	fresh, bare := replay(1, 9*time.Minute, 0, 1, 0xff), replay(2, 9*time.Minute)
	old, older := replay(3, 11*time.Minute, 1), replay(4, 25*time.Hour, 1)
	putReplays := func(all ...*auth.Replay) error {
		return o.try(t, func(ctx context.Context, tx auth.Tx) error {
			for _, r := range all {
				if err := tx.Replays().PutReplay(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	read := func(key [32]byte) (found *auth.Replay, err error) {
		err = o.Store.View(t.Context(), func(tx auth.Tx) error {
			found, err = tx.Replays().Replay(t.Context(), key)
			return err
		})
		return found, err
	}
	want := func(when string, all ...*auth.Replay) {
		t.Helper()
		for _, r := range all {
			got, err := read(r.Key)
			wantError(t, when, err, nil)
			wantSame(t, when, got, r)
		}
	}
	_, err := read(fresh.Key)
	wantError(t, "an unknown key", err, fault.NotFound)
	const many = 1100 // more than one statement removes
	crowd := make([]*auth.Replay, many)
	for i := range crowd {
		crowd[i] = replay(9, 26*time.Hour, 1)
		crowd[i].Key[1], crowd[i].Key[2] = byte(i>>8), byte(i)
	}
	wantError(t, "put", putReplays(slices.Concat(crowd, []*auth.Replay{fresh, bare, old, older})...), nil)
	wantError(t, "the same key again", putReplays(fresh), fault.Conflict)
	want("before maintenance", fresh, bare, old, older, crowd[0])
	o.maintain(t, at)
	old.Sealed = nil
	want("after maintenance", fresh, bare, old)
	for _, r := range []*auth.Replay{older, crowd[0], crowd[many/2], crowd[many-1]} {
		_, err = read(r.Key)
		wantError(t, "what is a day old", err, fault.NotFound)
	}
}
