package keys_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/sqlstore"
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

// newStore returns an empty database of its own.
func newStore(t *testing.T) auth.Store {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "countersign.db"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.Chain(auth.NewAuditKeys(map[uint32][]byte{1: []byte("audit")}))
	return store
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
