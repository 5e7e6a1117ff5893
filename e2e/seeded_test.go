package e2e

import (
	"errors"
	"io/fs"
	"log/slog"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

// The APIs that seedClients makes.
const (
	jwtAPI    = "https://orders.test.internal"
	opaqueAPI = "https://inventory.test.internal"
)

// seeded is a database with APIs and clients.
type seeded struct {
	Database      string
	MasterKeyFile string
	Caller        credential // granted "read write" on both APIs; the default resource is jwtAPI
	Server        credential // serves both APIs: may introspect their tokens and read the feed
	Stranger      credential // nothing granted, nothing served
	Operator      credential // granted all of urn:countersign:server: introspect:all, revoke:all, revocations:read
	// Registry makes further changes, as the admin API would.
	Registry *registry.Registry
	Actor    auth.Actor
}

// Settings returns what startServer needs to run on the database, and then more.
func (s *seeded) Settings(more ...string) []string {
	return append([]string{"database=" + s.Database, "master-key-file=" + s.MasterKeyFile, "token-budget=0"}, more...)
}

// seedClients brings the schema up to date and makes APIs and clients. masterKeyFile is made if it does not exist.
func seedClients(t *testing.T, databaseURL, masterKeyFile string) *seeded {
	t.Helper()
	ctx := t.Context()
	master, err := seal.CreateKeyFile(masterKeyFile)
	if errors.Is(err, fs.ErrExist) {
		master, err = seal.ReadKeyFile(masterKeyFile)
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.Open(ctx, sqlstore.Config{URL: databaseURL, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	made, err := seed.System(ctx, store, master, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for identifier, format := range map[string]auth.Format{jwtAPI: auth.JWT, opaqueAPI: auth.Opaque} {
		if _, err := seed.API(ctx, made, auth.API{
			Identifier: identifier, Name: string(format), Format: format,
			Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	s := &seeded{Database: databaseURL, MasterKeyFile: masterKeyFile, Registry: made, Actor: auth.Actor{Name: "test"}}
	s.Caller = s.Client(t, "caller", []string{jwtAPI, opaqueAPI}, nil)
	s.Server = s.Client(t, "server", nil, []string{jwtAPI, opaqueAPI})
	s.Stranger = s.Client(t, "stranger", nil, nil)
	s.Operator = s.Client(t, "operator", []string{auth.ServerAPI}, nil)
	return s
}

// Client makes a client that is granted all scopes of the APIs that it calls. The first is its default resource.
func (s *seeded) Client(t *testing.T, name string, calls, serves []string) credential {
	t.Helper()
	ctx := t.Context()
	made, err := s.Registry.CreateClient(ctx, s.Actor, auth.Client{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := s.Registry.AddSecret(ctx, s.Actor, made.ID, registry.NewSecretRequest{})
	if err != nil {
		t.Fatal(err)
	}
	c := credential{ID: made.ID.String(), Secret: secret.Value.Reveal()}
	for _, identifier := range calls {
		s.Grant(t, c, identifier, s.API(t, identifier).ScopeNames()...)
	}
	for _, identifier := range serves {
		if _, err := s.Registry.SetServer(ctx, s.Actor, s.API(t, identifier).ID, made.ID, true); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Grant gives a client exactly these scopes of an API.
func (s *seeded) Grant(t *testing.T, c credential, identifier string, scopes ...string) {
	t.Helper()
	g := auth.Grant{Client: clientID(t, c), API: s.API(t, identifier).ID, Scopes: auth.NewScopes(scopes...)}
	if _, _, err := s.Registry.PutGrant(t.Context(), s.Actor, g, registry.Any); err != nil {
		t.Fatal(err)
	}
}

// API returns a stored API.
func (s *seeded) API(t *testing.T, identifier string) (api *auth.API) {
	t.Helper()
	err := s.Registry.Store.View(t.Context(), func(tx auth.Tx) (err error) {
		api, err = tx.APIs().APIByIdentifier(t.Context(), identifier)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}
