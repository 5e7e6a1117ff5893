package keys_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// prepared returns a store with sealed keys and a first ES256 key.
func prepared(t *testing.T) auth.Store {
	t.Helper()
	store := newStore(t)
	if err := keys.EnsureSealed(t.Context(), store, masterKey(t, masterText), start()); err != nil {
		t.Fatal(err)
	}
	if err := keys.Ensure(t.Context(), store, masterKey(t, masterText), start(), auth.ES256); err != nil {
		t.Fatal(err)
	}
	return store
}

func rotate(t *testing.T, store auth.Store, r keys.Rotation) *auth.Key {
	t.Helper()
	key, err := keys.Rotate(t.Context(), store, masterKey(t, masterText), r)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// states tells the state of every key, by id.
func states(c contents, now time.Time) map[auth.KeyID]auth.KeyState {
	found := map[auth.KeyID]auth.KeyState{}
	for _, k := range c.signing {
		found[k.ID] = keys.State(k, c.signing, now)
	}
	return found
}

// news are the kinds of the changes since the log had n.
func news(c contents, n int) []auth.ChangeKind {
	var kinds []auth.ChangeKind
	for _, change := range c.changes[n:] {
		kinds = append(kinds, change.Kind)
	}
	return kinds
}

func TestEnsureOnce(t *testing.T) {
	store, master := newStore(t), masterKey(t, masterText)
	if err := keys.Ensure(t.Context(), store, master, start(), auth.ES256); err == nil {
		t.Fatal("a key was made before the key-check value")
	}
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if err := keys.EnsureSealed(t.Context(), store, master, start()); err != nil {
				t.Error(err)
			}
			if err := keys.Ensure(t.Context(), store, master, start(), auth.ES256, auth.EdDSA); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got := readAll(t, store)
	if len(got.signing) != 2 || len(got.sealed) != 6 {
		t.Fatalf("%d signing keys, %d sealed keys", len(got.signing), len(got.sealed))
	}
	if kinds := news(got, 0); !slices.Equal(kinds, []auth.ChangeKind{auth.SealedKeyChanged, auth.KeysChanged}) {
		t.Errorf("changes %v", kinds)
	}
	behind := start().Add(-time.Minute)
	ring := newRing(t, func() time.Time { return behind }, got.signing...)
	for _, alg := range []auth.Algorithm{auth.ES256, auth.EdDSA} {
		if _, _, err := ring.Sign(alg, sample()); err != nil {
			t.Errorf("%s on an instance whose clock is behind: %v", alg, err)
		}
	}
	if err := keys.Ensure(t.Context(), store, master, start(), auth.Algorithms()...); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, store); len(got.signing) != 4 {
		t.Errorf("%d signing keys after asking for all", len(got.signing))
	}
}

func TestRotate(t *testing.T) {
	store := prepared(t)
	before := readAll(t, store)
	first := before.signing[0]
	next := rotate(t, store, keys.Rotation{Algorithm: auth.ES256, Now: start()})
	got := readAll(t, store)
	if !next.ActiveAt.Equal(start().Add(24 * time.Hour)) {
		t.Errorf("active at %s", next.ActiveAt)
	}
	if kinds := news(got, len(before.changes)); !slices.Equal(kinds, []auth.ChangeKind{auth.KeysChanged}) {
		t.Errorf("changes %v", kinds)
	}
	keep := next.ActiveAt.Add(24*time.Hour + 5*time.Minute)
	for _, tt := range []struct {
		name        string
		at          time.Time
		first, next auth.KeyState
		needed      bool
	}{
		{"now", start(), auth.KeyCurrent, auth.KeyNext, true},
		{"just before", next.ActiveAt.Add(-1), auth.KeyCurrent, auth.KeyNext, true},
		{"then", next.ActiveAt, auth.KeyRetired, auth.KeyCurrent, true},
		{"while its tokens live", keep.Add(-1), auth.KeyRetired, auth.KeyCurrent, true},
		{"after that", keep, auth.KeyRetired, auth.KeyCurrent, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			states := states(got, tt.at)
			if states[first.ID] != tt.first || states[next.ID] != tt.next {
				t.Errorf("first %s, next %s", states[first.ID], states[next.ID])
			}
			if keys.Needed(first, got.signing, tt.at) != tt.needed || !keys.Needed(next, got.signing, tt.at) {
				t.Errorf("needed: first %t, next %t", !tt.needed, keys.Needed(next, got.signing, tt.at))
			}
		})
	}
}

func TestRotateRefuses(t *testing.T) {
	store := prepared(t)
	for _, tt := range []struct {
		name     string
		rotation keys.Rotation
		want     fault.Code
	}{
		{"unknown algorithm", keys.Rotation{Algorithm: "HS256"}, fault.InvalidRequest},
		{"in the past", keys.Rotation{Algorithm: auth.ES256, ActiveAt: start().Add(-time.Hour)}, fault.InvalidRequest},
		{"too soon", keys.Rotation{Algorithm: auth.ES256, ActiveAt: start().Add(30*time.Minute - 1)}, fault.InvalidRequest},
		{"soonest", keys.Rotation{Algorithm: auth.ES256, ActiveAt: start().Add(30 * time.Minute)}, ""},
		{"another next key", keys.Rotation{Algorithm: auth.ES256}, fault.Conflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.rotation.Now = start()
			_, err := keys.Rotate(t.Context(), store, masterKey(t, masterText), tt.rotation)
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("Rotate: %v", err)
			}
		})
	}
	_, err := keys.Rotate(t.Context(), store, masterKey(t, newText), keys.Rotation{Algorithm: auth.RS256, Now: start()})
	if !errors.Is(err, keys.ErrMasterKey) {
		t.Errorf("with another master key: %v", err)
	}
	if got := readAll(t, store); len(got.signing) != 2 {
		t.Errorf("%d keys", len(got.signing))
	}
}

func TestRotateCompromised(t *testing.T) {
	store := prepared(t)
	planned := rotate(t, store, keys.Rotation{Algorithm: auth.ES256, Now: start()})
	before := readAll(t, store)
	old := before.signing[slices.IndexFunc(before.signing, func(k *auth.Key) bool { return k.ID != planned.ID })]
	now := start().Add(time.Hour)
	ring := newRing(t, func() time.Time { return now }, before.signing...)
	stolen, _, err := ring.Sign(auth.ES256, sample())
	if err != nil {
		t.Fatal(err)
	}

	fresh := rotate(t, store, keys.Rotation{Algorithm: auth.ES256, Compromised: true, Now: now})
	got := readAll(t, store)
	if states := states(got, now); states[old.ID] != auth.KeyRevoked || states[fresh.ID] != auth.KeyCurrent || states[planned.ID] != auth.KeyNext {
		t.Errorf("old %s, new %s, planned %s", states[old.ID], states[fresh.ID], states[planned.ID])
	}
	added := got.changes[len(before.changes):]
	if len(added) != 2 || added[0].Kind != auth.KeysChanged || added[1].Kind != auth.RevokeKey || added[1].Subject != old.ID {
		t.Errorf("changes %+v", added)
	}
	if err := ring.Load(got.signing); err != nil {
		t.Fatal(err)
	}
	refused(t, ring, stolen)
	if _, by, err := ring.Sign(auth.ES256, sample()); err != nil || by != fresh.ID {
		t.Errorf("Sign: by %s, %v", by, err)
	}
	gone := now.Add(auth.RevocationLife)
	for _, k := range got.signing {
		if k.ID == old.ID && (!keys.Needed(k, got.signing, gone.Add(-1)) || keys.Needed(k, got.signing, gone)) {
			t.Error("a revoked key is kept as long as its revocation")
		}
	}
}

func TestRevoke(t *testing.T) {
	store, master := prepared(t), masterKey(t, masterText)
	signing := readAll(t, store).signing[0]
	next := rotate(t, store, keys.Rotation{Algorithm: auth.ES256, Now: start()})
	before := len(readAll(t, store).changes)
	for _, tt := range []struct {
		name string
		key  auth.KeyID
		want fault.Code
	}{
		{"unknown", auth.KeyID{1}, fault.NotFound},
		{"current", signing.ID, fault.Conflict},
		{"next", next.ID, ""},
		{"revoked already", next.ID, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := keys.Revoke(t.Context(), store, master, keys.Withdrawal{Key: tt.key, Now: start()})
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("Revoke: %v", err)
			}
		})
	}
	got := readAll(t, store)
	if kinds := news(got, before); !slices.Equal(kinds, []auth.ChangeKind{auth.KeysChanged, auth.RevokeKey}) {
		t.Errorf("changes %v", kinds)
	}
	if states := states(got, next.ActiveAt); states[next.ID] != auth.KeyRevoked || states[signing.ID] != auth.KeyCurrent {
		t.Errorf("next %s, current %s", states[next.ID], states[signing.ID])
	}
}

func TestRotateDue(t *testing.T) {
	store, master := prepared(t), masterKey(t, masterText)
	first := readAll(t, store).signing[0]
	const day = 24 * time.Hour
	for _, step := range []struct {
		name  string
		after time.Duration
		keys  int
		news  []auth.ChangeKind
	}{
		{"at the start", 0, 1, nil},
		{"the next key is not due yet", 88 * day, 1, nil},
		{"a day ahead of its activation", 89 * day, 2, []auth.ChangeKind{auth.KeysChanged}},
		{"again", 89*day + time.Hour, 2, nil},
		{"it signs", 90 * day, 2, nil},
		{"a token of the first may live", 91 * day, 2, nil},
		{"the first is not needed", 91*day + 5*time.Minute, 1, []auth.ChangeKind{auth.KeysChanged}},
		{"nothing is left to do", 92 * day, 1, nil},
		{"the third is due", 179 * day, 2, []auth.ChangeKind{auth.KeysChanged}},
	} {
		t.Run(step.name, func(t *testing.T) {
			before := len(readAll(t, store).changes)
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() {
					if err := keys.RotateDue(t.Context(), store, master, keys.Schedule{Now: start().Add(step.after)}); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			got := readAll(t, store)
			if len(got.signing) != step.keys || !slices.Equal(news(got, before), step.news) {
				t.Errorf("%d keys, changes %v", len(got.signing), news(got, before))
			}
		})
	}
	if slices.ContainsFunc(readAll(t, store).signing, func(k *auth.Key) bool { return k.ID == first.ID }) {
		t.Error("the first key is still there")
	}
	if due := keys.Due(nil, start(), time.Hour); due != nil {
		t.Errorf("due without keys: %v", due)
	}
}

func TestSealedKeysOpen(t *testing.T) {
	store, master := prepared(t), masterKey(t, masterText)
	sealed := readAll(t, store).sealed
	if err := keys.CheckMaster(sealed, master); err != nil {
		t.Fatal(err)
	}
	peppers, err := keys.OpenPeppers(sealed, master)
	if err != nil {
		t.Fatal(err)
	}
	if _, version := peppers.Hash(auth.NewSecretValue()); version != 1 {
		t.Errorf("pepper version %d", version)
	}
	for _, purpose := range []auth.Purpose{auth.PurposeStoreMAC, auth.PurposeAudit} {
		if opened, err := keys.OpenSealed(sealed, purpose, master); err != nil || len(opened[1]) != 32 {
			t.Errorf("%s: %v", purpose, err)
		}
	}
	if signers, err := keys.OpenStoreSigners(sealed, master); err != nil || len(signers[1]) != 64 {
		t.Errorf("store signers: %v", err)
	}
	if _, err := keys.OpenPeppers(nil, master); err == nil {
		t.Error("no pepper is no error")
	}
	moved := *sealed[slices.IndexFunc(sealed, func(k *auth.SealedKey) bool { return k.Purpose == auth.PurposeAudit })]
	moved.Purpose = auth.PurposePepper
	if _, err := keys.OpenPeppers([]*auth.SealedKey{&moved}, master); err == nil {
		t.Error("a key opens for another purpose")
	}
}

func TestWrongMasterKey(t *testing.T) {
	store, wrong := prepared(t), masterKey(t, newText)
	before := readAll(t, store)
	err := keys.CheckMaster(before.sealed, wrong)
	if !errors.Is(err, keys.ErrMasterKey) || !strings.Contains(err.Error(), wrong.Source()) {
		t.Errorf("CheckMaster: %v", err)
	}
	for name, err := range map[string]error{
		"EnsureSealed": keys.EnsureSealed(t.Context(), store, wrong, start()),
		"Ensure":       keys.Ensure(t.Context(), store, wrong, start(), auth.EdDSA),
		"RotateDue":    keys.RotateDue(t.Context(), store, wrong, keys.Schedule{Now: start().Add(keys.DefaultPeriod)}),
		"Reseal":       keys.Reseal(t.Context(), store, keys.Resealing{Old: masterKey(t, otherText), New: wrong, Now: start()}),
	} {
		if !errors.Is(err, keys.ErrMasterKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := readAll(t, store); len(after.signing) != len(before.signing) || len(after.changes) != len(before.changes) {
		t.Error("something was written")
	}
}

func TestReseal(t *testing.T) {
	store, old, fresh := prepared(t), masterKey(t, masterText), masterKey(t, newText)
	before := readAll(t, store)
	running := newRing(t, start, before.signing...)
	token, _, err := running.Sign(auth.ES256, sample())
	if err != nil {
		t.Fatal(err)
	}
	peppers, err := keys.OpenPeppers(before.sealed, old)
	if err != nil {
		t.Fatal(err)
	}

	for range 2 { // the second call stands for one whose outcome was not known
		if err := keys.Reseal(t.Context(), store, keys.Resealing{Old: old, New: fresh, Now: start()}); err != nil {
			t.Fatal(err)
		}
	}
	after := readAll(t, store)
	if err := keys.CheckMaster(after.sealed, old); !errors.Is(err, keys.ErrMasterKey) {
		t.Errorf("the old master key: %v", err)
	}
	if err := keys.CheckMaster(after.sealed, fresh); err != nil {
		t.Errorf("the new master key: %v", err)
	}
	same, err := keys.OpenPeppers(after.sealed, fresh)
	if err != nil {
		t.Fatal(err)
	}
	value := auth.NewSecretValue()
	was, _ := peppers.Hash(value)
	if is, _ := same.Hash(value); is != was {
		t.Error("the pepper changed")
	}
	if err := running.Load(after.signing); err != nil {
		t.Errorf("an instance with the old master key: %v", err)
	}
	if _, _, err := running.Sign(auth.ES256, sample()); err != nil {
		t.Errorf("an instance with the old master key: %v", err)
	}
	restarted, err := keys.NewRing(keys.Config{Issuer: issuer, Master: fresh, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	if err := restarted.Load(after.signing); err != nil {
		t.Fatal(err)
	}
	if _, err := restarted.Verify(token); err != nil {
		t.Errorf("an instance with the new master key: %v", err)
	}
}

func TestResealAllOrNothing(t *testing.T) {
	store, old, fresh := prepared(t), masterKey(t, masterText), masterKey(t, newText)
	err := store.Update(t.Context(), func(tx auth.Tx) error {
		foreign, err := keys.Generate(auth.EdDSA, start(), start(), masterKey(t, otherText))
		if err != nil {
			return err
		}
		return tx.Keys().PutSigningKey(t.Context(), foreign)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Reseal(t.Context(), store, keys.Resealing{Old: old, New: fresh, Now: start()}); err == nil {
		t.Fatal("resealed although a key does not open")
	}
	if err := keys.CheckMaster(readAll(t, store).sealed, old); err != nil {
		t.Errorf("something was written: %v", err)
	}
}
