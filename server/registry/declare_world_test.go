package registry_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/imported"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/sqlstore"
)

// world is a registry on a database of its own, with Countersign's own APIs.
type world struct {
	*testing.T
	*registry.Registry
	store *sqlstore.Store
}

func newWorld(t *testing.T, url string) world {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = store.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	store.Chain(auth.NewAuditKeys(map[uint32][]byte{1: []byte("audit")}))
	verifier, err := imported.New(imported.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	peppers := auth.NewPeppers(map[uint32][]byte{1: []byte("pepper")})
	w := world{t, &registry.Registry{
		Store: store, Peppers: func() *auth.Peppers { return peppers }, Now: time.Now, Ledger: store, Import: imported.Hash, Imported: verifier,
	}, store}
	w.must(w.EnsureBuiltIns(t.Context(), system()))
	return w
}

func system() auth.Actor { return auth.Actor{Name: "system"} }

// worlds are the databases on which everything must work alike.
func worlds() map[string]func(*testing.T) string {
	return map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "db") },
		"mysql":  func(t *testing.T) string { return testbed.MariaDB(t).New(t) },
	}
}

func onEachWorld(t *testing.T, test func(w world)) {
	for name, url := range worlds() {
		t.Run(name, func(t *testing.T) { test(newWorld(t, url(t))) })
	}
}

func sqliteWorld(t *testing.T) world { return newWorld(t, worlds()["sqlite"](t)) }

func (w world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w world) export() *registry.Document {
	w.Helper()
	doc, err := w.Export(w.Context(), system())
	w.must(err)
	return doc
}

func (w world) apply(doc *registry.Document, prune bool) *registry.Applied {
	w.Helper()
	done, err := w.Apply(w.Context(), system(), doc, registry.ApplyOptions{Prune: prune})
	w.must(err)
	return done
}

func (w world) plan(doc *registry.Document, prune bool) *registry.Plan {
	w.Helper()
	p, err := w.Plan(w.Context(), system(), doc, prune)
	w.must(err)
	return p
}

// lines are a plan's steps, to be compared.
func lines(p *registry.Plan) (all []string) {
	for _, s := range p.Steps {
		line := fmt.Sprintf("%s %s %s", s.Verb, s.Kind, s.Name)
		for _, f := range s.Fields {
			line += fmt.Sprintf(" %s: %q → %q", f.Name, f.Before, f.After)
		}
		all = append(all, line)
	}
	return all
}

func text(t *testing.T, v any) string {
	t.Helper()
	encoded, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// admin makes a client that holds scopes of the admin API, and a secret, and returns it as an actor.
func (w world) admin(name string, scopes ...string) auth.Actor {
	w.Helper()
	ctx := w.Context()
	c, err := w.CreateClient(ctx, system(), auth.Client{Name: name})
	w.must(err)
	own, err := w.APIByIdentifier(ctx, system(), auth.AdminAPI)
	w.must(err)
	if scopes == nil {
		scopes = own.ScopeNames()
	}
	_, _, err = w.PutGrant(ctx, system(), auth.Grant{Client: c.ID, API: own.ID, Scopes: auth.NewScopes(scopes...)}, registry.Any)
	w.must(err)
	made, err := w.AddSecret(ctx, system(), c.ID, registry.NewSecretRequest{})
	w.must(err)
	return auth.Actor{Client: c.ID, Credential: made.Secret.ID, Name: name, Scope: auth.NewScopes(scopes...).String()}
}

// actions returns what the audit log says was done after the event with the number.
func (w world) actions(after uint64) (actions []string) {
	w.Helper()
	w.must(w.store.View(w.Context(), func(tx auth.Tx) error {
		events, err := tx.Audit().ListEvents(w.Context(), auth.AuditQuery{After: after, Limit: 1000})
		actions = nil
		for _, e := range events {
			actions = append(actions, e.Action)
		}
		return err
	}))
	return actions
}

func (w world) head() (number uint64) {
	w.Helper()
	w.must(w.store.View(w.Context(), func(tx auth.Tx) error {
		head, err := tx.Audit().AuditHead(w.Context())
		number = head.Number
		return err
	}))
	return number
}

// shop is a document with something of everything.
func shop() *registry.Document {
	return &registry.Document{
		APIs: []registry.DeclaredAPI{
			{
				Identifier: "https://stock.example", Name: "Stock", Format: auth.Opaque, Lifetime: 10 * time.Minute,
				Scopes:  []auth.ScopeDefinition{{Name: "stock:read", Description: "see it"}, {Name: "stock:write"}},
				Servers: []string{"stock"},
			},
			{Identifier: "urn:example:mail", Name: "Mail", Scopes: []auth.ScopeDefinition{{Name: "send"}}, Servers: []string{"mailer", "stock"}},
		},
		Clients: []registry.DeclaredClient{
			{Name: "mailer", Disabled: new(true)},
			{
				Name: "orders", Description: "takes orders\nand keeps them", Owner: "team-a", Labels: map[string]string{"env": "prod", "tier": "1"},
				AuthMethod: auth.SecretPost, DefaultResource: new("urn:example:mail"),
				Grants: []registry.DeclaredGrant{
					{API: "https://stock.example", Scopes: []string{"stock:write", "stock:read"}},
					{API: "urn:example:mail", Scopes: []string{"send"}},
				},
			},
			{
				Name: "stock", DefaultResource: new(""),
				Grants: []registry.DeclaredGrant{{API: auth.ServerAPI, Scopes: []string{auth.ScopeRevocationsRead}}},
			},
		},
	}
}

func omitting(doc *registry.Document, clients ...string) *registry.Document {
	doc.Clients = slices.DeleteFunc(doc.Clients, func(c registry.DeclaredClient) bool { return slices.Contains(clients, c.Name) })
	return doc
}
