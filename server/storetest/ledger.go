package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// newToken returns a JWT's row that is decided from an empty change log.
func newToken(issued time.Time) *auth.Token {
	issued = issued.Truncate(time.Second).UTC()
	t := &auth.Token{
		Client: auth.ClientID{1, 0xff}, Credential: auth.SecretID{2}, API: auth.APIID{3}, Scope: "orders:read orders:write", Issued: issued,
		Expires: issued.Add(time.Hour),
	}
	t.ID = auth.NewTokenID(t.Issued, t.Expires)
	return t
}

func newTokens(n int) []*auth.Token {
	tokens := make([]*auth.Token, n)
	for i := range tokens {
		tokens[i] = newToken(time.Now())
	}
	return tokens
}

func (o *Opened) insert(t *testing.T, tokens ...*auth.Token) {
	t.Helper()
	if err := o.Ledger.InsertTokens(t.Context(), tokens, false); err != nil {
		t.Fatalf("InsertTokens: %v", err)
	}
}

// stored reports whether the token has a row.
func (o *Opened) stored(t *testing.T, want *auth.Token) bool {
	t.Helper()
	got, err := o.Ledger.Token(t.Context(), want.ID)
	if errors.Is(err, fault.NotFound) {
		return false
	}
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	wantSame(t, "token", got, want)
	return true
}

func (o *Opened) wantStored(t *testing.T, want bool, tokens ...*auth.Token) {
	t.Helper()
	for i, token := range tokens {
		if got := o.stored(t, token); got != want {
			t.Fatalf("token %d of %d is stored: %v, want %v", i+1, len(tokens), got, want)
		}
	}
}

func testTokens(t *testing.T, o *Opened) {
	o.wantStored(t, false, newToken(time.Now()))
	opaque, bare := newToken(time.Now()), newToken(time.Now())
	presented, proof := auth.MintOpaque(opaque.ID)
	opaque.Proof = proof
	bare.Scope, bare.Credential = "", auth.SecretID{}
	o.insert(t, opaque, bare)
	o.wantStored(t, true, opaque, bare)
	id, proof, err := auth.ParseOpaque(presented)
	if err != nil {
		t.Fatal(err)
	}
	found, err := o.Ledger.Token(t.Context(), id)
	if err != nil || !found.Proves(proof) {
		t.Errorf("the opaque token does not prove its row: %v", err)
	}
	o.insert(t)
	for _, n := range []int{1, 2, 63, 500, 3000} {
		batch := newTokens(n)
		o.insert(t, batch...)
		o.wantStored(t, true, batch[0], batch[n/2], batch[n-1])
	}
	long := newToken(time.Now())
	for range auth.MaxScopes {
		long.Scope += rand.Text() + rand.Text() + rand.Text() + " "
	}
	o.insert(t, long)
	o.wantStored(t, true, long)
}

func testStaleTokens(t *testing.T, o *Opened) {
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.Changes().Append(ctx, make([]auth.Change, 5)...)
	})
	// That single tokens are taken back makes no decision stale.
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.Changes().Append(ctx, auth.Change{Kind: auth.RevokeToken}, auth.Change{Kind: auth.RevokeToken})
	})
	for _, tt := range []struct {
		name      string
		revisions []uint64
		stale     bool
	}{
		{"all current", []uint64{5, 5}, false},
		{"beyond the last decisive change", []uint64{6, 5, 7}, false},
		{"one behind", []uint64{5, 4, 6}, true},
		{"never decided", []uint64{0}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			batch := newTokens(len(tt.revisions))
			for i, r := range tt.revisions {
				batch[i].Revision = r
			}
			for _, retry := range []bool{false, true} {
				err := o.Ledger.InsertTokens(t.Context(), batch, retry)
				stale, is := errors.AsType[*auth.StaleError](err)
				if is != tt.stale || is && stale.Sequence != 5 || !is && err != nil {
					t.Errorf("InsertTokens, retry %v: %v", retry, err)
				}
			}
			o.wantStored(t, !tt.stale, batch...)
		})
	}
}

func testRetriedTokens(t *testing.T, o *Opened) {
	before, after := newTokens(3), newTokens(2)
	o.insert(t, before...)
	batch := slices.Concat(after[:1], before, after[1:])
	wantError(t, "without retry", o.Ledger.InsertTokens(t.Context(), batch, false), fault.Conflict)
	o.wantStored(t, false, after...)
	// A revocation meanwhile does not make rows stale that are written already.
	sequence, err := o.Ledger.Revoke(t.Context(), []auth.Revocation{{Change: auth.Change{Kind: auth.RevokeAll}, Event: newEvent()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range after {
		token.Revision = sequence
	}
	for range 2 {
		if err := o.Ledger.InsertTokens(t.Context(), batch, true); err != nil {
			t.Errorf("with retry: %v", err)
		}
		o.wantStored(t, true, batch...)
	}
	for name, change := range map[string]func(*auth.Token){
		"client":     func(t *auth.Token) { t.Client[0]++ },
		"credential": func(t *auth.Token) { t.Credential[0]++ },
		"api":        func(t *auth.Token) { t.API[0]++ },
		"scope":      func(t *auth.Token) { t.Scope += "x" },
		"issued":     func(t *auth.Token) { t.Issued = t.Issued.Add(time.Second) },
		"expires":    func(t *auth.Token) { t.Expires = t.Expires.Add(time.Second) },
		"revision":   func(t *auth.Token) { t.Revision++ },
		"proof":      func(t *auth.Token) { t.Proof[0]++ },
	} {
		other, fresh := *after[0], newToken(time.Now())
		change(&other)
		err := o.Ledger.InsertTokens(t.Context(), []*auth.Token{fresh, &other}, true)
		wantError(t, "a row with another "+name, err, fault.Conflict)
		o.wantStored(t, false, fresh)
	}
}

// testRestored is the life of a change log that was restored from a backup.
func testRestored(t *testing.T, o *Opened) {
	decided := newToken(time.Now())
	decided.Revision = 1
	wantError(t, "a token decided from what was lost", o.Ledger.InsertTokens(t.Context(), []*auth.Token{decided}, false), fault.Unavailable)
	o.wantStored(t, false, decided)
	before, lost := position(t, o), newToken(time.Now())
	o.insert(t, lost)
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		if err := tx.Changes().Begin(ctx); err != nil {
			return err
		}
		return tx.Changes().Append(ctx, auth.Change{Kind: auth.RevokeAll})
	})
	after := position(t, o)
	if after.Generation == before.Generation || after.Generation == 0 || after.Sequence < before.Sequence+1<<32 || after.Floor != after.Sequence-1 {
		t.Errorf("position was %+v, is %+v", before, after)
	}
	_, stale := errors.AsType[*auth.StaleError](o.Ledger.InsertTokens(t.Context(), newTokens(1), false))
	if !stale {
		t.Error("a token that was decided before the restore is written after it")
	}
}

func testBadToken(t *testing.T, o *Opened) {
	batch := newTokens(20)
	batch[13].Scope = strings.Repeat("x", 1<<17)
	err := o.Ledger.InsertTokens(t.Context(), batch, false)
	if err == nil || errors.Is(err, fault.Unavailable) {
		t.Errorf("a scope that has no room: got %v, want an error that is for good", err)
	}
	batch[13] = batch[2]
	wantError(t, "a token twice", o.Ledger.InsertTokens(t.Context(), batch, false), fault.Conflict)
	o.wantStored(t, false, batch[0], batch[2], batch[19])
}

func testRevoke(t *testing.T, o *Opened) {
	at := now()
	for i, n := range []uint64{1, 2, 40} {
		before := position(t, o).Sequence
		batch := make([]auth.Revocation, n)
		for i := range batch {
			batch[i] = auth.Revocation{
				Event:  newEvent(),
				Change: auth.Change{Kind: auth.RevokeToken, Subject: auth.NewTokenID(at, at), At: at},
			}
		}
		last, err := o.Ledger.Revoke(t.Context(), batch)
		if err != nil || last != before+n {
			t.Fatalf("Revoke %d: sequence %d after %d, %v", i, last, before, err)
		}
		got := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]auth.Change, error) {
			return tx.Changes().ChangesAfter(ctx, before, 100)
		})
		want := make([]auth.Change, n)
		sequence := before
		for i := range want {
			sequence++
			want[i] = batch[i].Change
			want[i].Sequence = sequence
		}
		wantSame(t, "changes", got, want)
		wantError(t, "an event that Revoke recorded", o.try(t, func(ctx context.Context, tx auth.Tx) error {
			return tx.Audit().Record(ctx, batch[n-1].Event)
		}), fault.Conflict)
	}
}

func testRevokeAgain(t *testing.T, o *Opened) {
	batch := []auth.Revocation{{Event: newEvent()}, {Event: newEvent()}, {Event: newEvent()}}
	for _, step := range []struct {
		name string
		with []auth.Revocation
		want uint64
	}{
		{"two", batch[:2], 2}, {"the same two", batch[:2], 2}, {"one of them and a new one", batch[1:], 3}, {"all", batch, 3}, {"none", nil, 3},
	} {
		got, err := o.Ledger.Revoke(t.Context(), step.with)
		if err != nil || got != step.want {
			t.Errorf("%s: sequence %d, %v, want %d", step.name, got, err, step.want)
		}
	}
	if err := o.complete(t.Context()); err != nil {
		t.Error(err)
	}
}

func testCancelled(t *testing.T, o *Opened) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	token := newToken(time.Now())
	for name, call := range map[string]func() error{
		"Update":       func() error { return o.Store.Update(ctx, func(auth.Tx) error { return nil }) },
		"View":         func() error { return o.Store.View(ctx, func(auth.Tx) error { return nil }) },
		"InsertTokens": func() error { return o.Ledger.InsertTokens(ctx, []*auth.Token{token}, false) },
		"Token":        func() error { _, err := o.Ledger.Token(ctx, token.ID); return err },
		"Revoke":       func() error { _, err := o.Ledger.Revoke(ctx, []auth.Revocation{{Event: newEvent()}}); return err },
		"Maintain":     func() error { _, err := o.Ledger.Maintain(ctx, time.Now(), auth.AuditRetention); return err },
	} {
		wantError(t, name, call(), fault.Unavailable)
	}
	err := o.Store.Update(t.Context(), func(tx auth.Tx) error {
		_, err := tx.Clients().Client(ctx, auth.ClientID{})
		return err
	})
	wantError(t, "a statement", err, fault.Unavailable)
}
