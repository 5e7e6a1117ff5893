package storetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func newClient() *auth.Client {
	at := now()
	return &auth.Client{
		ID: auth.NewClientID(at), Name: "Ünïted 🚚 \"shipping\" " + rand.Text(), Description: "line\nline", Owner: "team", Labels: map[string]string{"tier": "1", "ключ": "значение"},
		Status: auth.Active, AuthMethod: auth.SecretBasic, Created: at, Updated: at.Add(time.Microsecond),
	}
}

func newAPI(identifier string) *auth.API {
	at := now()
	return &auth.API{
		ID: auth.NewAPIID(at), Identifier: identifier, Name: "Inventory", Format: auth.Opaque, Lifetime: 90 * time.Second, Algorithm: auth.ES256,
		Scopes:  []auth.ScopeDefinition{{Name: "write", Description: "<change> it"}, {Name: "read"}},
		Created: at, Updated: at,
	}
}

func newSecret(client auth.ClientID) *auth.Secret {
	at := now()
	return &auth.Secret{
		ID: auth.NewSecretID(at), Client: client, Hash: sha256.Sum256([]byte(rand.Text())), Pepper: 1 << 31, Hint: "aZ09", Status: auth.Active, Created: at,
	}
}

func newGrant(client auth.ClientID, api auth.APIID, scopes ...string) *auth.Grant {
	at := now()
	return &auth.Grant{Client: client, API: api, Scopes: auth.NewScopes(scopes...), Created: at, Updated: at}
}

func put(ctx context.Context, tx auth.Tx, rows ...any) error {
	for _, row := range rows {
		var err error
		switch row := row.(type) {
		case *auth.Client:
			err = tx.Clients().PutClient(ctx, row)
		case *auth.API:
			err = tx.APIs().PutAPI(ctx, row)
		case *auth.Secret:
			err = tx.Secrets().PutSecret(ctx, row)
		case *auth.ExchangeGrant:
			err = tx.Exchanges().PutExchange(ctx, row)
		case *auth.TrustedIssuer:
			err = tx.Issuers().PutTrustedIssuer(ctx, row)
		case *auth.Grant:
			err = tx.Grants().PutGrant(ctx, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *Opened) put(t *testing.T, rows ...any) {
	t.Helper()
	o.update(t, func(ctx context.Context, tx auth.Tx) error { return put(ctx, tx, rows...) })
}

func (o *Opened) tryPut(t *testing.T, rows ...any) error {
	t.Helper()
	return o.try(t, func(ctx context.Context, tx auth.Tx) error { return put(ctx, tx, rows...) })
}

func testClients(t *testing.T, o *Opened) {
	c := newClient()
	o.put(t, c)
	if c.Revision != 1 {
		t.Errorf("revision after the first put is %d, want 1", c.Revision)
	}
	read := func(ctx context.Context, tx auth.Tx) (*auth.Client, error) { return tx.Clients().Client(ctx, c.ID) }
	wantSame(t, "client", viewed(t, o, read), c)

	stale := *c
	c.Name, c.Status, c.Labels, c.Updated = "renamed", auth.Disabled, nil, now()
	c.AuthMethod, c.Proofs = auth.PrivateKeyJWT, strongProofs()
	o.put(t, c)
	wantSame(t, "changed client", viewed(t, o, read), c)
	wantError(t, "put of an old revision", o.tryPut(t, &stale), fault.Conflict)
	again := *c
	again.Revision = 0
	wantError(t, "put of a new client with an id that exists", o.tryPut(t, &again), fault.Conflict)
	wantSame(t, "client after conflicts", viewed(t, o, read), c)

	unknown := newClient()
	unknown.Revision = 1
	wantError(t, "put of a revision of an unknown client", o.tryPut(t, unknown), fault.Conflict)
	wantError(t, "unknown client", o.try(t, func(ctx context.Context, tx auth.Tx) error {
		_, err := tx.Clients().Client(ctx, unknown.ID)
		return err
	}), fault.NotFound)
	wantError(t, "deletion of an unknown client", o.try(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.Clients().DeleteClient(ctx, unknown.ID)
	}), fault.NotFound)
}

func testClientOrder(t *testing.T, o *Opened) {
	const many = 2100 // more than a page of any store
	var want []*auth.Client
	for range many {
		want = append(want, newClient())
	}
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		for _, c := range want {
			if err := tx.Clients().PutClient(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(want, func(a, b *auth.Client) int { return compareIDs(a.ID, b.ID) })
	got := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Client, error) {
		return collected(tx.Clients().EachClient)(ctx)
	})
	wantSame(t, "clients", got, want)

	enough, calls := errors.New("enough"), 0
	err := o.Store.View(t.Context(), func(tx auth.Tx) error {
		return tx.Clients().EachClient(t.Context(), func(c *auth.Client) error {
			if calls++; calls == 3 {
				return enough
			}
			_, err := tx.Clients().Client(t.Context(), c.ID) // the transaction is usable meanwhile
			return err
		})
	})
	wantError(t, "the callback's error", err, enough)
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}

func testSecrets(t *testing.T, o *Opened) {
	c, other := newClient(), newClient()
	s := newSecret(c.ID)
	o.put(t, c, other, s)
	read := func(ctx context.Context, tx auth.Tx) (*auth.Secret, error) { return tx.Secrets().Secret(ctx, s.ID) }
	wantSame(t, "secret", viewed(t, o, read), s)
	stale := *s
	s.Status, s.Expires, s.Pepper, s.By = auth.Disabled, now().Add(time.Hour), 7, auth.SecretID{8}
	o.put(t, s)
	wantSame(t, "changed secret", viewed(t, o, read), s)
	wantSame(t, "secret by hash", viewed(t, o, func(ctx context.Context, tx auth.Tx) (*auth.Secret, error) {
		return tx.Secrets().SecretByHash(ctx, s.Hash)
	}), s)
	wantError(t, "put of an old revision", o.tryPut(t, &stale), fault.Conflict)
	wantError(t, "secret of an unknown client", o.tryPut(t, newSecret(auth.NewClientID(now()))), fault.Conflict)

	all := []*auth.Secret{s, newSecret(c.ID), newSecret(other.ID), newSecret(other.ID), newSecret(c.ID)}
	o.put(t, all[1], all[2], all[3], all[4])
	slices.SortFunc(all, func(a, b *auth.Secret) int { return compareIDs(a.ID, b.ID) })
	slices.SortStableFunc(all, func(a, b *auth.Secret) int { return compareIDs(a.Client, b.Client) })
	wantSame(t, "all secrets", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Secret, error) {
		return collected(tx.Secrets().EachSecret)(ctx)
	}), all)
	of := slices.DeleteFunc(slices.Clone(all), func(s *auth.Secret) bool { return s.Client != c.ID })
	wantSame(t, "a client's secrets", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Secret, error) {
		return tx.Secrets().ClientSecrets(ctx, c.ID)
	}), of)

	testSecretsBy(t, o, other.ID)
	remove := func(ctx context.Context, tx auth.Tx) error { return tx.Secrets().DeleteSecret(ctx, s.ID) }
	o.update(t, remove)
	wantError(t, "second deletion", o.try(t, remove), fault.NotFound)
	wantError(t, "deleted secret", o.try(t, func(ctx context.Context, tx auth.Tx) error {
		_, err := tx.Secrets().Secret(ctx, s.ID)
		return err
	}), fault.NotFound)
}

func testSecretsBy(t *testing.T, o *Opened, client auth.ClientID) {
	t.Helper()
	imported, second := newSecret(client), newSecret(client)
	imported.Hash, imported.Pepper, imported.Imported, imported.Hint = [32]byte{}, 0, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", ""
	imported.By, second.By = auth.SecretID{5}, auth.SecretID{5}
	o.put(t, second, imported)
	made := []*auth.Secret{imported, second}
	slices.SortFunc(made, func(a, b *auth.Secret) int { return compareIDs(a.ID, b.ID) })
	wantSame(t, "secrets by a credential", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Secret, error) {
		return tx.Secrets().SecretsBy(ctx, auth.SecretID{5})
	}), made)
	for name, hash := range map[string][32]byte{"that none has": {9}, "of an imported secret": {}} {
		wantError(t, "secret by a hash "+name, o.try(t, func(ctx context.Context, tx auth.Tx) error {
			_, err := tx.Secrets().SecretByHash(ctx, hash)
			return err
		}), fault.NotFound)
	}
}

func testAPIs(t *testing.T, o *Opened) {
	c, d := newClient(), newClient()
	a, b := newAPI("https://a.example/Path?q=1"), newAPI("https://b.example")
	b.Servers = []auth.ClientID{c.ID, d.ID}
	slices.SortFunc(b.Servers, compareIDs)
	o.put(t, c, d, a, b)
	byID := func(ctx context.Context, tx auth.Tx) (*auth.API, error) { return tx.APIs().API(ctx, b.ID) }
	wantSame(t, "api", viewed(t, o, byID), b)
	stale := *b
	b.Servers, b.Scopes, b.Format, b.Lifetime = []auth.ClientID{d.ID}, b.Scopes[:1], auth.JWT, 24*time.Hour
	b.Constraint = auth.CertificateTLS
	o.put(t, b)
	wantSame(t, "changed api", viewed(t, o, byID), b)
	wantSame(t, "api by audience", viewed(t, o, func(ctx context.Context, tx auth.Tx) (*auth.API, error) {
		return tx.APIs().APIByIdentifier(ctx, b.Identifier)
	}), b)
	wantError(t, "put of an old revision", o.tryPut(t, &stale), fault.Conflict)
	wantError(t, "audience that exists", o.tryPut(t, newAPI(a.Identifier)), fault.Conflict)
	stolen := *b
	stolen.Identifier = a.Identifier
	wantError(t, "change to an audience that exists", o.tryPut(t, &stolen), fault.Conflict)
	o.put(t, newAPI("https://A.example/Path?q=1")) // another one: compared byte for byte
	for _, identifier := range []string{"https://a.example/path?q=1", "https://a.example/Path?q=1 ", "none"} {
		wantError(t, "audience "+identifier, o.try(t, func(ctx context.Context, tx auth.Tx) error {
			_, err := tx.APIs().APIByIdentifier(ctx, identifier)
			return err
		}), fault.NotFound)
	}
	all := viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.API, error) { return collected(tx.APIs().EachAPI)(ctx) })
	if len(all) != 3 || !slices.IsSortedFunc(all, func(a, b *auth.API) int { return compareIDs(a.ID, b.ID) }) {
		t.Errorf("%d apis, or out of order", len(all))
	}
	wantSame(t, "api among all", all[slices.IndexFunc(all, func(x *auth.API) bool { return x.ID == b.ID })], b)
	wantError(t, "deletion of an unknown api", o.try(t, func(ctx context.Context, tx auth.Tx) error {
		return tx.APIs().DeleteAPI(ctx, auth.NewAPIID(now()))
	}), fault.NotFound)
}

func testGrants(t *testing.T, o *Opened) {
	c, d := newClient(), newClient()
	a, b := newAPI("https://a.example"), newAPI("https://b.example")
	g := newGrant(c.ID, a.ID, "write", "read")
	o.put(t, c, d, a, b, g)
	read := func(ctx context.Context, tx auth.Tx) (*auth.Grant, error) { return tx.Grants().Grant(ctx, c.ID, a.ID) }
	wantSame(t, "grant", viewed(t, o, read), g)
	stale := *g
	g.Scopes, g.MayAct = auth.NewScopes("read"), d.ID
	o.put(t, g)
	wantSame(t, "changed grant", viewed(t, o, read), g)
	wantError(t, "put of an old revision", o.tryPut(t, &stale), fault.Conflict)
	wantError(t, "second grant of the same api", o.tryPut(t, newGrant(c.ID, a.ID, "read")), fault.Conflict)
	wantError(t, "grant of an unknown api", o.tryPut(t, newGrant(c.ID, auth.NewAPIID(now()), "read")), fault.Conflict)

	all := []*auth.Grant{g, newGrant(c.ID, b.ID, "read"), newGrant(d.ID, a.ID, "read"), newGrant(d.ID, b.ID, "read")}
	g.Scopes = auth.NewScopes("write")
	several := func(grants ...*auth.Grant) func(context.Context, auth.Tx) error {
		return func(ctx context.Context, tx auth.Tx) error { return tx.Grants().PutGrant(ctx, grants...) }
	}
	o.update(t, several(all[3], g, all[2], all[1]))
	o.update(t, several())
	wantError(t, "several with one that is there", o.try(t, several(newGrant(d.ID, auth.NewAPIID(now()), "read"), newGrant(d.ID, b.ID, "read"))), fault.Conflict)
	slices.SortFunc(all, func(x, y *auth.Grant) int { return compareIDs(x.API, y.API) })
	slices.SortStableFunc(all, func(x, y *auth.Grant) int { return compareIDs(x.Client, y.Client) })
	keep := func(keep func(*auth.Grant) bool) []*auth.Grant {
		return slices.DeleteFunc(slices.Clone(all), func(g *auth.Grant) bool { return !keep(g) })
	}
	wantSame(t, "all grants", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Grant, error) {
		return collected(tx.Grants().EachGrant)(ctx)
	}), all)
	wantSame(t, "a client's grants", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Grant, error) {
		return tx.Grants().ClientGrants(ctx, c.ID)
	}), keep(func(g *auth.Grant) bool { return g.Client == c.ID }))
	wantSame(t, "an api's grants", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Grant, error) {
		return tx.Grants().APIGrants(ctx, b.ID)
	}), keep(func(g *auth.Grant) bool { return g.API == b.ID }))
	remove := func(ctx context.Context, tx auth.Tx) error { return tx.Grants().DeleteGrant(ctx, c.ID, a.ID) }
	o.update(t, remove)
	wantError(t, "second deletion", o.try(t, remove), fault.NotFound)
}

// testGrantsAtOnce puts more grants than one statement takes, one of which is there already.
func testGrantsAtOnce(t *testing.T, o *Opened) {
	const many = 1100
	c, old := newClient(), newAPI("https://old.example")
	first := newGrant(c.ID, old.ID, "read")
	grants := []*auth.Grant{first}
	o.update(t, func(ctx context.Context, tx auth.Tx) error {
		if err := put(ctx, tx, c, old, first); err != nil {
			return err
		}
		for i := range many {
			a := newAPI(fmt.Sprintf("https://%d.example", i))
			if err := put(ctx, tx, a); err != nil {
				return err
			}
			grants = append(grants, newGrant(c.ID, a.ID, "read"))
		}
		return nil
	})
	first.Scopes = auth.NewScopes("write")
	putAll := func(ctx context.Context, tx auth.Tx) error { return tx.Grants().PutGrant(ctx, grants...) }
	o.update(t, putAll)
	slices.SortFunc(grants, func(a, b *auth.Grant) int { return compareIDs(a.API, b.API) })
	wantSame(t, "grants", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.Grant, error) {
		return tx.Grants().ClientGrants(ctx, c.ID)
	}), grants)
	if first.Revision != 2 || grants[many].Revision == 0 {
		t.Errorf("revisions are %d and %d", first.Revision, grants[many].Revision)
	}
	first.Revision = 1
	wantError(t, "an old revision among them", o.try(t, putAll), fault.Conflict)
}

func testKeys(t *testing.T, o *Opened) {
	at := now()
	keys := []*auth.Key{
		{ID: auth.KeyID{1}, Algorithm: auth.RS256, Public: []byte{0, 1}, Sealed: []byte("sealed"), Created: at, ActiveAt: at.Add(time.Hour)},
		{ID: auth.KeyID{2}, Algorithm: auth.ES256, Public: []byte{0xff}, Sealed: make([]byte, 4000), Created: at, ActiveAt: at, RevokedAt: at},
	}
	sealed := []*auth.SealedKey{
		{Purpose: auth.PurposeCheck, Version: 1, Sealed: []byte{0}, Created: at},
		{Purpose: auth.PurposePepper, Version: 2, Sealed: []byte{1}, Created: at},
		{Purpose: auth.PurposePepper, Version: 10, Sealed: []byte{2}, Created: at},
	}
	putAll := func(ctx context.Context, tx auth.Tx) error {
		for i := range slices.Backward(keys) {
			if err := tx.Keys().PutSigningKey(ctx, keys[i]); err != nil {
				return err
			}
		}
		for i := range slices.Backward(sealed) {
			if err := tx.Keys().PutSealedKey(ctx, sealed[i]); err != nil {
				return err
			}
		}
		return nil
	}
	signing := func(ctx context.Context, tx auth.Tx) ([]*auth.Key, error) { return tx.Keys().SigningKeys(ctx) }
	for range 2 { // the second time they are replaced by themselves
		o.update(t, putAll)
		wantSame(t, "signing keys", viewed(t, o, signing), keys)
		wantSame(t, "sealed keys", viewed(t, o, func(ctx context.Context, tx auth.Tx) ([]*auth.SealedKey, error) {
			return tx.Keys().SealedKeys(ctx)
		}), sealed)
	}
	keys[0].RevokedAt, keys[0].Sealed, sealed[0].Sealed = at, []byte("other"), []byte("other")
	o.update(t, putAll)
	wantSame(t, "replaced signing keys", viewed(t, o, signing), keys)
	remove := func(ctx context.Context, tx auth.Tx) error { return tx.Keys().DeleteSigningKey(ctx, keys[0].ID) }
	o.update(t, remove)
	wantSame(t, "signing keys that are left", viewed(t, o, signing), keys[1:])
	wantError(t, "second deletion", o.try(t, remove), fault.NotFound)
}

func testDeleteClient(t *testing.T, o *Opened) {
	c, other, a := newClient(), newClient(), newAPI("https://a.example")
	a.Servers = []auth.ClientID{c.ID, other.ID}
	kept := newSecret(other.ID)
	o.put(t, c, other, a, newSecret(c.ID), kept, newGrant(c.ID, a.ID, "read"))
	o.update(t, func(ctx context.Context, tx auth.Tx) error { return tx.Clients().DeleteClient(ctx, c.ID) })
	o.view(t, func(ctx context.Context, tx auth.Tx) error {
		clients, err1 := collected(tx.Clients().EachClient)(ctx)
		secrets, err2 := collected(tx.Secrets().EachSecret)(ctx)
		grants, err3 := collected(tx.Grants().EachGrant)(ctx)
		api, err4 := tx.APIs().API(ctx, a.ID)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
		wantSame(t, "clients", clients, []*auth.Client{other})
		wantSame(t, "secrets", secrets, []*auth.Secret{kept})
		wantSame(t, "grants", len(grants), 0)
		wantSame(t, "servers", api.Servers, []auth.ClientID{other.ID})
		return nil
	})
}

func testDeleteAPI(t *testing.T, o *Opened) {
	c, a, b := newClient(), newAPI("https://a.example"), newAPI("https://b.example")
	c.DefaultResource = a.ID
	kept := newGrant(c.ID, b.ID, "read")
	o.put(t, a, b, c)
	a.Servers = []auth.ClientID{c.ID}
	o.put(t, a, newGrant(c.ID, a.ID, "read"), kept)
	o.update(t, func(ctx context.Context, tx auth.Tx) error { return tx.APIs().DeleteAPI(ctx, a.ID) })
	o.view(t, func(ctx context.Context, tx auth.Tx) error {
		client, err1 := tx.Clients().Client(ctx, c.ID)
		grants, err2 := collected(tx.Grants().EachGrant)(ctx)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		wantSame(t, "default resource", client.DefaultResource, auth.APIID{})
		wantSame(t, "grants", grants, []*auth.Grant{kept})
		return nil
	})
}
