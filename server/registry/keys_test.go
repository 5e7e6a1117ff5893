package registry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
)

// key returns the ES256 key that is in the state.
func (d *desk) key(state auth.KeyState) *registry.KeyDetail {
	d.Helper()
	all, err := d.ListKeys(d.Context(), officer("keys:read"))
	d.must(err)
	for i := range all {
		if all[i].Sealed != nil {
			d.Error("the list of keys has a private part")
		}
		if all[i].Algorithm == auth.ES256 && all[i].State == state {
			return &all[i]
		}
	}
	d.Fatalf("no ES256 key is %s", state)
	return nil
}

func TestRotateKey(t *testing.T) {
	d := newDesk(t)
	old := d.key(auth.KeyCurrent)
	if !old.SafeToDrop.IsZero() {
		t.Errorf("the only key is safe to drop at %s", old.SafeToDrop)
	}
	repeat, err := registry.NewRepeat(officer(""), "POST /keys/rotate", "once and for all", nil)
	d.must(err)
	var made []auth.KeyID
	begins := time.Now().Add(keys.MinPublishAhead + time.Minute)
	changes := d.changes(func() {
		for range 2 {
			next, err := d.Once(repeat).RotateKey(t.Context(), officer("keys:write"), keys.Rotation{Algorithm: auth.ES256, ActiveAt: begins})
			if err != nil {
				t.Fatal(err)
			}
			d.Now = func() time.Time { return time.Now().Add(2 * time.Minute) } // too late for a new call
			if made = append(made, next.ID); next.Sealed != nil {
				t.Error("the answer has the private part")
			}
		}
	})
	if made[0] != made[1] || len(changes) != 1 || changes[0].Kind != auth.KeysChanged {
		t.Errorf("made %v, changed %+v", made, changes)
	}
	event, after := d.last()
	if event.Action != "key.rotate" || event.Target != made[0].String() || event.Actor.Name != "officer" || after["alg"] != "ES256" {
		t.Errorf("event is %+v", event)
	}
	if got := d.key(auth.KeyNext).ID; got != made[0] {
		t.Errorf("next key is %s, want %s", got, made[0])
	}
	if drop := d.key(auth.KeyCurrent).SafeToDrop; drop.Before(begins.Add(auth.MaxLifetime)) {
		t.Errorf("the current key is safe to drop at %s", drop)
	}
	if _, err := d.RotateKey(t.Context(), auth.Actor{}, keys.Rotation{Algorithm: auth.ES256}); !errors.Is(err, fault.Conflict) {
		t.Errorf("second next key: %v", err)
	}
	if _, err := d.RotateKey(t.Context(), auth.Actor{}, keys.Rotation{Algorithm: "none"}); !errors.Is(err, fault.InvalidRequest) {
		t.Errorf("no algorithm: %v", err)
	}
}

func TestRotateCompromisedKeySaysWhatItTookBack(t *testing.T) {
	d := newDesk(t)
	c, stock, other := d.client("orders"), d.api("https://stock.example"), d.api("https://other.example", func(a *auth.API) { a.Algorithm = auth.EdDSA })
	old := d.key(auth.KeyCurrent)
	d.token(c, stock)
	d.token(c, stock)
	d.token(c, other)
	d.token(c, stock, func(t *auth.Token) { t.Proof = [32]byte{1} }) // opaque: no key signed it
	changes := d.changes(func() {
		if _, err := d.RotateKey(t.Context(), officer("keys:write"), keys.Rotation{Algorithm: auth.ES256, Compromised: true}); err != nil {
			t.Fatal(err)
		}
	})
	if len(changes) != 2 || changes[1].Kind != auth.RevokeKey || changes[1].Subject != old.ID {
		t.Errorf("changes are %+v", changes)
	}
	_, after := d.last()
	if after["revoked_tokens"] != 2.0 || after["revoked"] != old.ID.String() {
		t.Errorf("audit says %v", after)
	}
	if state := d.key(auth.KeyRevoked); state.ID != old.ID {
		t.Errorf("revoked is %s", state.ID)
	}
}

func TestRevokeKey(t *testing.T) {
	d := newDesk(t)
	c, stock := d.client("orders"), d.api("https://stock.example")
	d.token(c, stock)
	current := d.key(auth.KeyCurrent)
	if _, err := d.RevokeKey(t.Context(), officer("keys:write"), current.ID); !errors.Is(err, fault.Conflict) {
		t.Errorf("current key: %v", err)
	}
	next, err := d.RotateKey(t.Context(), auth.Actor{}, keys.Rotation{Algorithm: auth.ES256})
	d.must(err)
	for _, tt := range []struct {
		name    string
		now     time.Time
		key     auth.KeyID
		want    registry.Hit
		changed []auth.ChangeKind
	}{
		{"next key signed nothing", time.Now(), next.ID, registry.Hit{Exact: true}, []auth.ChangeKind{auth.KeysChanged, auth.RevokeKey}},
		{"again", time.Now(), next.ID, registry.Hit{Exact: true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var done *registry.Revocation
			changes := d.changes(func() {
				if done, err = d.Revoke(t.Context(), officer("tokens:write keys:write"), registry.Selector{Key: tt.key}); err != nil {
					t.Fatal(err)
				}
			})
			var kinds []auth.ChangeKind
			for i, c := range changes {
				if kinds = append(kinds, c.Kind); i == len(changes)-1 && c.Sequence != done.Sequence {
					t.Errorf("sequence is %d, want %d", done.Sequence, c.Sequence)
				}
			}
			if diff := cmp.Diff(tt.changed, kinds); diff != "" || done.Hit != tt.want {
				t.Errorf("hit %+v, want %+v\n%s", done.Hit, tt.want, diff)
			}
		})
	}
}

// A retired key signed what was issued before its successor became active.
func TestRevokeRetiredKeyCountsByTime(t *testing.T) {
	d := newDesk(t)
	c, stock := d.client("orders"), d.api("https://stock.example")
	old := d.key(auth.KeyCurrent)
	next, err := d.RotateKey(t.Context(), auth.Actor{}, keys.Rotation{Algorithm: auth.ES256, ActiveAt: time.Now().Add(31 * time.Minute)})
	d.must(err)
	d.token(c, stock)
	d.token(c, stock, func(t *auth.Token) {
		t.Issued = next.ActiveAt.Add(time.Minute).Truncate(time.Second)
		t.Expires = t.Issued.Add(time.Hour)
		t.ID = auth.NewTokenID(t.Issued, t.Expires)
	})
	d.Now = func() time.Time { return time.Now().Add(33 * time.Minute) }
	if got := d.key(auth.KeyRetired).ID; got != old.ID {
		t.Fatalf("retired is %s", got)
	}
	done, err := d.RevokeKey(t.Context(), officer("keys:write"), old.ID)
	if want := (registry.Hit{Tokens: 1}); err != nil || done.Hit != want {
		t.Errorf("hit is %+v (%v), want %+v", done, err, want)
	}
	if event, after := d.last(); event.Action != "key.revoke" || event.Target != old.ID.String() || after["revoked_tokens"] != 1.0 {
		t.Errorf("event is %+v", event)
	}
}
