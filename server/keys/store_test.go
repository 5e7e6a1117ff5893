package keys_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

const (
	issuer     = "https://auth.example.test"
	masterText = "cs_master_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	newText    = "cs_master_AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	otherText  = "cs_master_AgECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

// start is the moment at which the tests begin.
func start() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

func masterKey(t testing.TB, text string) seal.Key {
	t.Helper()
	key, err := seal.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// memory is an auth.Store of keys, changes and audit events, with serialised updates that roll back.
type memory struct {
	mu    sync.Mutex
	state tables
}

type tables struct {
	signing []*auth.Key
	sealed  []*auth.SealedKey
	log     []auth.Change
	events  []auth.AuditEvent
}

func (m *memory) Update(_ context.Context, change func(auth.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	draft := m.state
	draft.signing, draft.sealed = slices.Clone(draft.signing), slices.Clone(draft.sealed)
	if err := change(&tx{&draft}); err != nil {
		return err
	}
	m.state = draft
	return nil
}

func (m *memory) View(_ context.Context, read func(auth.Tx) error) error {
	m.mu.Lock()
	draft := m.state
	m.mu.Unlock()
	return read(&tx{&draft})
}

type tx struct{ *tables }

func (x *tx) Clients() auth.Clients { return nil }
func (x *tx) Secrets() auth.Secrets { return nil }
func (x *tx) APIs() auth.APIs       { return nil }
func (x *tx) Grants() auth.Grants   { return nil }
func (x *tx) Keys() auth.Keys       { return x }
func (x *tx) Changes() auth.Changes { return x }
func (x *tx) Audit() auth.Audit     { return x }

func (x *tx) SigningKeys(context.Context) ([]*auth.Key, error) {
	all := slices.Clone(x.signing)
	slices.SortFunc(all, func(a, b *auth.Key) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return all, nil
}

func (x *tx) PutSigningKey(_ context.Context, k *auth.Key) error {
	stored := *k
	x.signing = slices.DeleteFunc(x.signing, func(o *auth.Key) bool { return o.ID == k.ID })
	x.signing = append(x.signing, &stored)
	return nil
}

func (x *tx) DeleteSigningKey(_ context.Context, id auth.KeyID) error {
	before := len(x.signing)
	x.signing = slices.DeleteFunc(x.signing, func(o *auth.Key) bool { return o.ID == id })
	if len(x.signing) == before {
		return fault.New(fault.NotFound, "no such key")
	}
	return nil
}

func (x *tx) SealedKeys(context.Context) ([]*auth.SealedKey, error) {
	return slices.Clone(x.sealed), nil
}

func (x *tx) PutSealedKey(_ context.Context, k *auth.SealedKey) error {
	stored := *k
	x.sealed = slices.DeleteFunc(x.sealed, func(o *auth.SealedKey) bool { return o.Purpose == k.Purpose && o.Version == k.Version })
	x.sealed = append(x.sealed, &stored)
	return nil
}

func (x *tx) Position(context.Context) (auth.Position, error) {
	return auth.Position{Generation: 1, Sequence: uint64(len(x.log))}, nil
}

func (x *tx) ChangesAfter(_ context.Context, after uint64, limit int) ([]auth.Change, error) {
	rest := x.log[after:]
	return rest[:min(limit, len(rest))], nil
}

func (x *tx) Append(_ context.Context, changes ...auth.Change) error {
	for _, c := range changes {
		c.Sequence = uint64(len(x.log) + 1)
		x.log = append(slices.Clip(x.log), c)
	}
	return nil
}

func (x *tx) Record(_ context.Context, e auth.AuditEvent) error {
	x.events = append(slices.Clip(x.events), e)
	return nil
}

// contents is what a store holds.
type contents struct {
	signing []*auth.Key
	sealed  []*auth.SealedKey
	changes []auth.Change
}

func readAll(t testing.TB, store auth.Store) (c contents) {
	t.Helper()
	err := store.View(t.Context(), func(tx auth.Tx) (err error) {
		if c.signing, err = tx.Keys().SigningKeys(t.Context()); err != nil {
			return err
		}
		if c.sealed, err = tx.Keys().SealedKeys(t.Context()); err != nil {
			return err
		}
		c.changes, err = tx.Changes().ChangesAfter(t.Context(), 0, 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newRing(t testing.TB, now func() time.Time, all ...*auth.Key) *keys.Ring {
	t.Helper()
	ring, err := keys.NewRing(keys.Config{Issuer: issuer, Master: masterKey(t, masterText), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Load(all); err != nil {
		t.Fatal(err)
	}
	return ring
}

func generate(t testing.TB, alg auth.Algorithm, activeAt time.Time) *auth.Key {
	t.Helper()
	key, err := keys.Generate(alg, activeAt, start(), masterKey(t, masterText))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sample are claims in which every member is set.
func sample() keys.Claims {
	return keys.Claims{
		ID:       auth.TokenID{0, 0, 0, 1, 0, 0, 0, 2, 3},
		Client:   auth.ClientID{1, 2, 3},
		Audience: "https://inventory.demo.internal", Scope: "inventory:read inventory:write",
		Issued: start(), Expires: start().Add(time.Hour),
		Revision: 42, Credential: auth.SecretID{9, 8, 7},
	}
}

func newStore(testing.TB) auth.Store { return &memory{} }
