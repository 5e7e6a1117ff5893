package registry_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/sqlstore"
)

// office is a registry on a real database.
type office struct {
	*testing.T
	*registry.Registry
	store *sqlstore.Store
}

func newOffice(t *testing.T) office {
	t.Helper()
	return officeAt(t, filepath.Join(t.TempDir(), "db"))
}

// officeAt opens the database at path, which may be open already.
func officeAt(t *testing.T, path string) office {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: "sqlite:" + path, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = store.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	store.Chain(auth.NewAuditKeys(map[uint32][]byte{1: []byte("audit")}))
	return officeOn(t, store)
}

func officeOn(t *testing.T, store *sqlstore.Store) office {
	t.Helper()
	store.Chain(auth.NewAuditKeys(map[uint32][]byte{1: []byte("audit")}))
	peppers := auth.NewPeppers(map[uint32][]byte{1: []byte("pepper")})
	o := office{t, &registry.Registry{Store: store, Peppers: func() *auth.Peppers { return peppers }, Now: time.Now}, store}
	o.must(o.EnsureBuiltIns(t.Context(), clerk))
	return o
}

var clerk = auth.Actor{Name: "clerk", Source: "192.0.2.1", Request: "r-1"} //nolint:gochecknoglobals // Go has no constant structs

func (o office) client() *auth.Client {
	o.Helper()
	c, err := o.CreateClient(o.Context(), clerk, auth.Client{Name: "orders " + auth.NewClientID(time.Now()).String()})
	if err != nil {
		o.Fatal(err)
	}
	return c
}

func (o office) api() *auth.API {
	o.Helper()
	a, err := o.CreateAPI(o.Context(), clerk, auth.API{
		Identifier: "https://stock.example/" + auth.NewAPIID(time.Now()).String(), Name: "stock",
		Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}},
	})
	if err != nil {
		o.Fatal(err)
	}
	return a
}

func (o office) grant(c *auth.Client, a *auth.API, scopes ...string) *auth.Grant {
	o.Helper()
	g, _, err := o.PutGrant(o.Context(), clerk, auth.Grant{Client: c.ID, API: a.ID, Scopes: scopes}, registry.Any)
	if err != nil {
		o.Fatal(err)
	}
	return g
}

// second leaves out what an operation answers besides its error.
func second[T any](_ T, err error) error { return err }

// kinds returns the kinds of the changes that do made, in order.
func (o office) kinds(do func() error) (kinds []auth.ChangeKind) {
	o.Helper()
	before := o.position()
	if err := do(); err != nil {
		o.Fatal(err)
	}
	err := o.store.View(o.Context(), func(tx auth.Tx) error {
		changes, err := tx.Changes().ChangesAfter(o.Context(), before, 100)
		kinds = nil
		for _, c := range changes {
			kinds = append(kinds, c.Kind)
		}
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return kinds
}

func (o office) position() (sequence uint64) {
	o.Helper()
	err := o.store.View(o.Context(), func(tx auth.Tx) error {
		p, err := tx.Changes().Position(o.Context())
		sequence = p.Sequence
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return sequence
}

// Whatever takes a permission away takes the tokens back that were issued under it; what gives one does not.
func TestWhatIsWrittenToTheChangeLog(t *testing.T) {
	o := newOffice(t)
	c, a := o.client(), o.api()
	made, err := o.AddSecret(t.Context(), clerk, c.ID, registry.NewSecretRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, secret := t.Context(), made.Secret
	grant := func(scopes ...string) func() error {
		return func() error {
			_, _, err := o.PutGrant(ctx, clerk, auth.Grant{Client: c.ID, API: a.ID, Scopes: scopes}, registry.Any)
			return err
		}
	}
	for _, tt := range []struct {
		name string
		do   func() error
		want []auth.ChangeKind
	}{
		{"first grant", grant("read"), []auth.ChangeKind{auth.ClientChanged}},
		{"wider grant", grant("read", "write"), []auth.ChangeKind{auth.ClientChanged}},
		{"narrower grant", grant("write"), []auth.ChangeKind{auth.ClientChanged, auth.RevokeGrant}},
		{"other grant", grant("read"), []auth.ChangeKind{auth.ClientChanged, auth.RevokeGrant}},
		{"no grant", func() error { return second(o.DeleteGrant(ctx, clerk, registry.GrantRef{Client: c.ID, API: a.ID})) }, []auth.ChangeKind{auth.ClientChanged, auth.RevokeGrant}},
		{"serve", func() error { return second(o.SetServer(ctx, clerk, a.ID, c.ID, true)) }, []auth.ChangeKind{auth.APIChanged}},
		{"serve again", func() error { return second(o.SetServer(ctx, clerk, a.ID, c.ID, true)) }, nil},
		{"serve no more", func() error { return second(o.SetServer(ctx, clerk, a.ID, c.ID, false)) }, []auth.ChangeKind{auth.APIChanged}},
		{"disabled secret", func() error { return second(o.DisableSecret(ctx, clerk, secret.ID, false)) }, []auth.ChangeKind{auth.ClientChanged}},
		{"disabled again", func() error { return second(o.DisableSecret(ctx, clerk, secret.ID, false)) }, nil},
		{"compromised secret", func() error { return second(o.DisableSecret(ctx, clerk, secret.ID, true)) }, []auth.ChangeKind{auth.RevokeCredential}},
		{"enabled secret", func() error { return second(o.EnableSecret(ctx, clerk, secret.ID)) }, []auth.ChangeKind{auth.ClientChanged}},
		{"leaked secret", func() error { return second(o.DisableSecret(ctx, clerk, secret.ID, true)) }, []auth.ChangeKind{auth.ClientChanged, auth.RevokeCredential}},
		{"disabled client", func() error { return second(o.SetClientStatus(ctx, clerk, c.ID, auth.Disabled)) }, []auth.ChangeKind{auth.ClientChanged, auth.RevokeClient}},
		{"disabled again", func() error { return second(o.SetClientStatus(ctx, clerk, c.ID, auth.Disabled)) }, nil},
		{"enabled client", func() error { return second(o.SetClientStatus(ctx, clerk, c.ID, auth.Active)) }, []auth.ChangeKind{auth.ClientChanged}},
		{"grant before the API goes", grant("read"), []auth.ChangeKind{auth.ClientChanged}},
		{"deleted API", func() error { return second(o.DeleteAPI(ctx, clerk, a.ID, registry.Any)) }, []auth.ChangeKind{auth.APIChanged, auth.RevokeAPI, auth.ClientChanged}},
		{"restored database", func() error { return o.Restored(ctx, clerk) }, []auth.ChangeKind{auth.RevokeAll}},
		{"deleted client", func() error { return second(o.DeleteClient(ctx, clerk, c.ID, registry.Any)) }, []auth.ChangeKind{auth.ClientChanged, auth.RevokeClient}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, o.kinds(tt.do)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDefaultResourceIsTheFirstGrants(t *testing.T) {
	o := newOffice(t)
	c, first, second := o.client(), o.api(), o.api()
	for _, a := range []*auth.API{first, second} {
		o.grant(c, a, "read")
	}
	err := o.store.View(t.Context(), func(tx auth.Tx) error {
		stored, err := tx.Clients().Client(t.Context(), c.ID)
		if err == nil && stored.DefaultResource != first.ID {
			t.Errorf("default resource is %s, want %s", stored.DefaultResource, first.ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusedByTheRegistry(t *testing.T) {
	o := newOffice(t)
	c, a := o.client(), o.api()
	ctx, nobody, nothing := t.Context(), auth.NewClientID(time.Now()), auth.NewAPIID(time.Now())
	builtIn := o.builtIn(ctx)
	grant := func(client auth.ClientID, api auth.APIID, scopes ...string) func() error {
		return func() error {
			_, _, err := o.PutGrant(ctx, clerk, auth.Grant{Client: client, API: api, Scopes: scopes}, registry.Any)
			return err
		}
	}
	for name, tt := range map[string]struct {
		do   func() error
		want fault.Code
	}{
		"nameless client": {func() error { return second(o.CreateClient(ctx, clerk, auth.Client{})) }, fault.InvalidRequest},
		"second API of a name": {func() error {
			_, err := o.CreateAPI(ctx, clerk, auth.API{Identifier: a.Identifier, Name: "x"})
			return err
		}, fault.Conflict},
		"API in our own namespace": {func() error {
			_, err := o.CreateAPI(ctx, clerk, auth.API{Identifier: "urn:countersign:mine", Name: "x"})
			return err
		}, fault.InvalidRequest},
		"built-in API deleted":    {func() error { return second(o.DeleteAPI(ctx, clerk, builtIn, registry.Any)) }, fault.InvalidRequest},
		"scope beyond the API":    {grant(c.ID, a.ID, "fly"), fault.InvalidScope},
		"grant of nothing":        {grant(c.ID, a.ID), fault.InvalidRequest},
		"grant to nobody":         {grant(nobody, a.ID, "read"), fault.NotFound},
		"grant of no API":         {grant(c.ID, nothing, "read"), fault.NotFound},
		"grant that is not there": {func() error { return second(o.DeleteGrant(ctx, clerk, registry.GrantRef{Client: c.ID, API: a.ID})) }, fault.NotFound},
		"secret for nobody":       {func() error { return second(o.AddSecret(ctx, clerk, nobody, registry.NewSecretRequest{})) }, fault.NotFound},
		"server that is nobody":   {func() error { return second(o.SetServer(ctx, clerk, a.ID, nobody, true)) }, fault.NotFound},
		"client deleted twice":    {func() error { return second(o.DeleteClient(ctx, clerk, nobody, registry.Any)) }, fault.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			before := o.position()
			if err := tt.do(); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if o.position() != before {
				t.Error("a refused change reached the change log")
			}
		})
	}
}

func (o office) builtIn(ctx context.Context) (id auth.APIID) {
	o.Helper()
	err := o.store.View(ctx, func(tx auth.Tx) error {
		a, err := tx.APIs().APIByIdentifier(ctx, auth.AdminAPI)
		if err == nil {
			id = a.ID
		}
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return id
}
