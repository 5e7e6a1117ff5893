package registry_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/memory"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/sqlstore"
)

// desk is a registry on a real database with keys, a ledger and a directory. What it works on is put into the database directly.
type desk struct {
	*testing.T
	*registry.Registry
	store     *sqlstore.Store
	path      string // of the database
	directory *memory.Directory
	made      int // how many ids were: each sorts after the one before
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, path: filepath.Join(t.TempDir(), "db")}
	master, err := seal.ParseKey("cs_master_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
	d.must(err)
	d.store, err = sqlstore.Open(t.Context(), sqlstore.Config{URL: "sqlite:" + d.path, Logger: slog.New(slog.DiscardHandler)})
	d.must(err)
	t.Cleanup(func() { _ = d.store.Close() })
	d.must(d.store.Migrate(t.Context()))
	d.must(keys.EnsureSealed(t.Context(), d.store, master, time.Now()))
	d.must(keys.Ensure(t.Context(), d.store, master, time.Now(), auth.ES256, auth.EdDSA))
	var opened map[uint32][]byte
	var peppers *auth.Peppers
	d.view(func(tx auth.Tx) error {
		sealed, err := tx.Keys().SealedKeys(t.Context())
		if err == nil {
			opened, err = keys.OpenSealed(sealed, auth.PurposeAudit, master)
		}
		if err == nil {
			peppers, err = keys.OpenPeppers(sealed, master)
		}
		return err
	})
	chain := auth.NewAuditKeys(opened)
	d.store.Chain(chain)
	d.directory = memory.New(memory.Config{Store: d.store})
	d.Registry = &registry.Registry{
		Store: d.store, Ledger: d.store, Denied: d.directory.Denied, Refusals: d.directory.Refusals, Now: time.Now, Master: master,
		Peppers: func() *auth.Peppers { return peppers }, AuditKeys: func() *auth.AuditKeys { return chain },
	}
	d.must(d.EnsureBuiltIns(t.Context(), auth.Actor{Name: "system"}))
	d.must(d.directory.Load(t.Context()))
	d.follow()
	return d
}

// follow keeps the directory current until the test ends.
func (d *desk) follow() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.directory.Run(ctx)
	}()
	d.Cleanup(func() {
		cancel()
		<-ended
	})
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) view(read func(auth.Tx) error) {
	d.Helper()
	d.must(d.store.View(d.Context(), read))
}

// put changes the database and tells the directory.
func (d *desk) put(change func(auth.Tx) error, changes ...auth.Change) {
	d.Helper()
	for i := range changes {
		changes[i].At = time.Now()
	}
	d.must(d.store.Update(d.Context(), func(tx auth.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		return tx.Changes().Append(d.Context(), changes...)
	}))
	if d.directory.Sequence() > 0 {
		d.refresh()
	}
}

func (d *desk) refresh() {
	d.Helper()
	d.must(d.directory.Refresh(d.Context()))
}

// long is a time at which everything was made that has no other.
func long() time.Time { return time.Now().Add(-1000 * time.Hour).UTC().Truncate(time.Microsecond) }

// next is a time for an id that sorts after those before.
func (d *desk) next() time.Time {
	d.made++
	return time.Now().Add(time.Duration(d.made) * time.Millisecond)
}

func (d *desk) client(name string, edit ...func(*auth.Client)) *auth.Client {
	d.Helper()
	c := &auth.Client{
		ID: auth.NewClientID(d.next()), Name: name, Status: auth.Active, AuthMethod: auth.SecretBasic, Created: long(), Updated: long(),
	}
	for _, do := range edit {
		do(c)
	}
	d.put(func(tx auth.Tx) error {
		fresh := *c
		return tx.Clients().PutClient(d.Context(), &fresh)
	}, auth.Change{Kind: auth.ClientChanged, Subject: c.ID})
	return c
}

func (d *desk) api(identifier string, edit ...func(*auth.API)) *auth.API {
	d.Helper()
	a := &auth.API{
		ID: auth.NewAPIID(d.next()), Identifier: identifier, Name: "stock", Scopes: []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}},
		Format: auth.JWT, Lifetime: time.Hour, Algorithm: auth.ES256, Created: long(), Updated: long(),
	}
	for _, do := range edit {
		do(a)
	}
	d.put(func(tx auth.Tx) error {
		fresh := *a
		return tx.APIs().PutAPI(d.Context(), &fresh)
	}, auth.Change{Kind: auth.APIChanged, Subject: a.ID})
	return a
}

func (d *desk) grant(c *auth.Client, a *auth.API, scopes ...string) {
	d.Helper()
	d.grantSince(long(), c, a, scopes...)
}

func (d *desk) grantSince(at time.Time, c *auth.Client, a *auth.API, scopes ...string) {
	d.Helper()
	d.put(func(tx auth.Tx) error {
		return tx.Grants().PutGrant(d.Context(), &auth.Grant{
			Client: c.ID, API: a.ID, Scopes: auth.NewScopes(scopes...), Created: at, Updated: at,
		})
	}, auth.Change{Kind: auth.ClientChanged, Subject: c.ID})
}

func (d *desk) secret(c *auth.Client, edit ...func(*auth.Secret)) (*auth.Secret, auth.SecretValue) {
	d.Helper()
	value := auth.NewSecretValue()
	s := &auth.Secret{ID: auth.NewSecretID(d.next()), Client: c.ID, Hint: value.Hint(), Status: auth.Active, Created: long()}
	s.Hash, s.Pepper = d.Peppers().Hash(value)
	for _, do := range edit {
		do(s)
	}
	d.put(func(tx auth.Tx) error {
		fresh := *s
		return tx.Secrets().PutSecret(d.Context(), &fresh)
	}, auth.Change{Kind: auth.ClientChanged, Subject: c.ID})
	return s, value
}

// token issues a token, as edited.
func (d *desk) token(c *auth.Client, a *auth.API, edit ...func(*auth.Token)) *auth.Token {
	d.Helper()
	d.refresh()
	issued := time.Now().UTC().Truncate(time.Second)
	expires := issued.Add(a.Lifetime)
	t := &auth.Token{
		ID: auth.NewTokenID(issued, expires), Client: c.ID, API: a.ID, Scope: "read", Issued: issued, Expires: expires,
		Revision: d.directory.Sequence(),
	}
	for _, do := range edit {
		do(t)
	}
	d.must(d.store.InsertTokens(d.Context(), []*auth.Token{t}, false))
	return t
}

// with sets the credential with which a token was asked for.
func with(s *auth.Secret) func(*auth.Token) { return func(t *auth.Token) { t.Credential = s.ID } }

// expired is a token of two hours ago.
func expired(t *auth.Token) {
	t.Issued, t.Expires = t.Issued.Add(-2*time.Hour), t.Expires.Add(-2*time.Hour)
	t.ID = auth.NewTokenID(t.Issued, t.Expires)
}

// officer is a caller of the admin API that holds these scopes.
func officer(scopes string) auth.Actor {
	return auth.Actor{Client: auth.ClientID{1}, Name: "officer", Source: "192.0.2.7", Request: "r-7", Scope: scopes}
}

// last returns the newest audit event and what it says that there was afterwards.
func (d *desk) last() (*auth.AuditEvent, map[string]any) {
	d.Helper()
	found, err := d.Events(d.Context(), auth.Actor{}, auth.AuditQuery{Descending: true, Limit: 1})
	if err != nil || len(found) != 1 {
		d.Fatal(found, err)
	}
	var changes struct{ After map[string]any }
	d.must(json.Unmarshal([]byte(found[0].Changes), &changes))
	return found[0], changes.After
}

// changes returns the entries of the change log that do makes.
func (d *desk) changes(do func()) (made []auth.Change) {
	d.Helper()
	var before auth.Position
	d.view(func(tx auth.Tx) (err error) {
		before, err = tx.Changes().Position(d.Context())
		return err
	})
	do()
	d.view(func(tx auth.Tx) (err error) {
		made, err = tx.Changes().ChangesAfter(d.Context(), before.Sequence, 100)
		return err
	})
	d.refresh()
	return made
}

// issuer is a trusted issuer, as edited.
func (d *desk) issuer(name, identifier string, edit ...func(*auth.TrustedIssuer)) *auth.TrustedIssuer {
	d.Helper()
	i := &auth.TrustedIssuer{
		ID: auth.NewTrustedIssuerID(time.Now()), Name: name, Issuer: identifier, Created: long(), Updated: long(),
		Trust: auth.Trust{
			Kind: auth.OIDCIssuer, Algorithms: []string{"ES256"}, MaxLifetime: time.Hour, Replay: auth.Reusable, Status: auth.Active,
		},
	}
	for _, do := range edit {
		do(i)
	}
	d.put(func(tx auth.Tx) error {
		fresh := *i
		return tx.Issuers().PutTrustedIssuer(d.Context(), &fresh)
	}, auth.Change{Kind: auth.IssuerChanged, Subject: i.ID})
	return i
}

// exchange lets a client exchange tokens for one API for those for another, with scopes of the same names.
func (d *desk) exchange(c *auth.Client, source, target *auth.API, scopes ...string) {
	d.Helper()
	g := &auth.ExchangeGrant{Client: c.ID, Source: source.ID, Target: target.ID, Created: long(), Updated: long()}
	for _, scope := range scopes {
		g.Scopes = append(g.Scopes, auth.ExchangeScope{Scope: scope, Needs: scope})
	}
	d.put(func(tx auth.Tx) error {
		fresh := *g
		return tx.Exchanges().PutExchange(d.Context(), &fresh)
	}, auth.Change{Kind: auth.ClientChanged, Subject: c.ID})
}
