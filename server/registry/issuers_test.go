package registry_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// ruled is a client of a trusted issuer, and of others.
func ruled(issuers ...*auth.TrustedIssuer) func(*auth.Client) {
	return func(c *auth.Client) {
		c.AuthMethod = auth.FederatedJWT
		for _, i := range issuers {
			c.Proofs.Federation = append(c.Proofs.Federation, auth.FederationRule{Issuer: i.ID, Claims: []auth.ClaimMatch{{Path: []string{"sub"}, Equals: c.Name}}})
		}
	}
}

func TestIssuersOfOwn(t *testing.T) {
	d := newDesk(t)
	actor := officer("issuers:read issuers:write")
	made, err := d.CreateIssuer(t.Context(), actor, auth.TrustedIssuer{Name: "cluster", Issuer: "https://cluster.example"})
	d.must(err)
	want := auth.Trust{
		Kind: auth.OIDCIssuer, Algorithms: []string{"ES256", "RS256"}, MaxLifetime: time.Hour, Replay: auth.Once, Status: auth.Active,
	}
	if diff := cmp.Diff(want, made.Trust); diff != "" {
		t.Error(diff)
	}
	bundle := json.RawMessage(`{"keys":[{"use":"jwt-svid","kid":"a",` + publicMembers + `}]}`)
	domain, err := d.CreateIssuer(t.Context(), actor, auth.TrustedIssuer{
		Name: "mesh", Issuer: "spiffe://mesh.example", Trust: auth.Trust{Kind: auth.SPIFFEIssuer, JWKS: bundle},
	})
	d.must(err)
	if domain.Replay != auth.Reusable {
		t.Error(domain.Replay)
	}
	create := func(edit func(*auth.TrustedIssuer)) error {
		i := auth.TrustedIssuer{Name: "other", Issuer: "https://other.example"}
		edit(&i)
		return second(d.CreateIssuer(t.Context(), actor, i))
	}
	update := func(edit func(*auth.TrustedIssuer)) error {
		return second(d.UpdateIssuer(t.Context(), actor, made.ID, registry.IssuerEdit{Change: rename(edit)}))
	}
	before := d.state()
	for name, tt := range map[string]struct {
		err  error
		code fault.Code
		at   string
	}{
		"name is taken":       {create(func(i *auth.TrustedIssuer) { i.Name = "cluster" }), fault.Conflict, "name"},
		"identifier is taken": {create(func(i *auth.TrustedIssuer) { i.Issuer = "https://cluster.example" }), fault.Conflict, "issuer"},
		"id is taken":         {create(func(i *auth.TrustedIssuer) { i.ID = made.ID }), fault.Conflict, "trusted_issuer_id"},
		"discovery by http":   {create(func(i *auth.TrustedIssuer) { i.Issuer = "http://other.example" }), fault.InvalidRequest, "issuer"},
		"keys by http":        {create(func(i *auth.TrustedIssuer) { i.JWKSURI = "http://other.example/keys" }), fault.InvalidRequest, "jwks_uri"},
		"private key":         {create(func(i *auth.TrustedIssuer) { i.JWKS = json.RawMessage(`{"keys":[{"kty":"oct","k":"AA"}]}`) }), fault.InvalidRequest, "jwks"},
		"no key":              {create(func(i *auth.TrustedIssuer) { i.JWKS = json.RawMessage(`{"keys":[]}`) }), fault.InvalidRequest, "jwks"},
		"weak algorithm":      {create(func(i *auth.TrustedIssuer) { i.Algorithms = []string{"HS256"} }), fault.InvalidRequest, "algorithms"},
		"bundle without a use": {create(func(i *auth.TrustedIssuer) {
			i.Issuer, i.Kind, i.JWKS = "spiffe://a", auth.SPIFFEIssuer, json.RawMessage(publicKey)
		}), fault.InvalidRequest, "jwks"},
		"bundle that is private": {create(func(i *auth.TrustedIssuer) {
			i.Issuer, i.Kind, i.JWKS = "spiffe://a", auth.SPIFFEIssuer, json.RawMessage(`{"keys":[{"use":"x509-svid","d":"AA"}]}`)
		}), fault.InvalidRequest, "jwks"},
		"renamed to a taken name":  {update(func(i *auth.TrustedIssuer) { i.Name = "mesh" }), fault.Conflict, "name"},
		"another identifier":       {update(func(i *auth.TrustedIssuer) { i.Issuer = "https://x.example" }), fault.InvalidRequest, "issuer"},
		"updated to keys by http":  {update(func(i *auth.TrustedIssuer) { i.JWKSURI = "http://x.example" }), fault.InvalidRequest, "jwks_uri"},
		"one that is not there":    {second(d.UpdateIssuer(t.Context(), actor, domain.ID, registry.IssuerEdit{Match: 7, Change: rename(func(*auth.TrustedIssuer) {})})), fault.PreconditionFailed, "If-Match"},
		"deleted in another state": {second(d.DeleteIssuer(t.Context(), actor, domain.ID, 7)), fault.PreconditionFailed, "If-Match"},
	} {
		if found := fault.From(tt.err); found == nil || found.Code != tt.code || found.Field != tt.at {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	if d.state() != before {
		t.Error("what was refused changed something")
	}
}

// What happens to an issuer reaches the clients that have rules for it, and no others.
func TestIssuersReachTheirClients(t *testing.T) {
	d := newDesk(t)
	actor := officer(adminScopes().String())
	issuer, other := d.issuer("cluster", "https://cluster.example"), d.issuer("github", "https://github.example")
	api := d.api("https://stock.example/")
	both, only, elsewhere := d.client("both", ruled(issuer, other)), d.client("only", ruled(issuer)), d.client("elsewhere", ruled(other))
	for _, c := range []*auth.Client{both, only, elsewhere} {
		d.grant(c, api, "read")
		d.token(c, api)
	}
	edit := func(revoke bool, change func(*auth.TrustedIssuer)) (made []auth.Change, hit registry.Hit) {
		made = d.changes(func() {
			done, err := d.UpdateIssuer(t.Context(), actor, issuer.ID, registry.IssuerEdit{Change: rename(change), RevokeTokens: revoke})
			d.must(err)
			hit = done.Revoked
		})
		return made, hit
	}
	check := func(name, action string, made []auth.Change, hit registry.Hit, tokens int64, kinds ...auth.ChangeKind) {
		t.Helper()
		var got []auth.ChangeKind
		for _, c := range made {
			got = append(got, c.Kind)
			if c.Subject == [16]byte(elsewhere.ID) {
				t.Errorf("%s reaches a client of another issuer", name)
			}
		}
		last, _ := d.last()
		if diff := cmp.Diff(kinds, got); diff != "" || hit != (registry.Hit{Tokens: tokens, Exact: true}) || last.Action != action {
			t.Errorf("%s: %s %+v %s", name, last.Action, hit, diff)
		}
	}
	made, hit := edit(false, func(i *auth.TrustedIssuer) { i.Audience = "https://aud.example" })
	check("narrowing", "issuer.update", made, hit, 0, auth.IssuerChanged)
	made, hit = edit(false, func(i *auth.TrustedIssuer) { i.Audience = "https://aud.example" })
	if len(made) != 0 || hit.Tokens != 0 {
		t.Error("a change of nothing is told of", made)
	}
	made, hit = edit(true, func(i *auth.TrustedIssuer) { i.Algorithms = []string{"ES256"} })
	check("narrowing with revocation", "issuer.update", made, hit, 2, auth.IssuerChanged, auth.RevokeClient, auth.RevokeClient)
	d.token(only, api)
	made, hit = edit(false, func(i *auth.TrustedIssuer) { i.Status = auth.Disabled })
	check("disabling", "issuer.disable", made, hit, 1, auth.IssuerChanged, auth.RevokeClient, auth.RevokeClient)
	made, hit = edit(false, func(i *auth.TrustedIssuer) { i.Status = auth.Active })
	check("enabling", "issuer.enable", made, hit, 0, auth.IssuerChanged)

	_, err := d.DeleteIssuer(t.Context(), actor, issuer.ID, registry.Any)
	if found := fault.From(err); found == nil || found.Code != fault.Conflict || !strings.Contains(found.Detail, "client only") {
		t.Error(err)
	}
	d.must(second(d.UpdateClient(t.Context(), actor, only.ID, registry.ClientEdit{Change: rename(keyed)})))
	d.token(both, api)
	made = d.changes(func() {
		hit, err = d.DeleteIssuer(t.Context(), actor, issuer.ID, registry.Any)
		d.must(err)
	})
	check("deletion", "issuer.delete", made, hit, 1, auth.ClientChanged, auth.IssuerChanged, auth.RevokeClient)
	left, err := d.Client(t.Context(), actor, both.ID)
	d.must(err)
	if rules := left.Proofs.Federation; len(rules) != 1 || rules[0].Issuer != other.ID {
		t.Error(rules)
	}
	if err := second(d.Issuer(t.Context(), actor, issuer.ID)); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

// Whoever may change issuers cannot become a client that is more than he is.
func TestIssuersAreNoWayUp(t *testing.T) {
	e := newEscalation(t)
	issuer := e.issuer("mine", "https://mine.example")
	plain := e.client("plain", ruled(issuer))
	e.grant(plain, e.stock, "read")
	actor := officer("issuers:write")
	change := func(actor auth.Actor) error {
		return second(e.UpdateIssuer(t.Context(), actor, issuer.ID, registry.IssuerEdit{Change: func(i *auth.TrustedIssuer) error {
			i.JWKS = json.RawMessage(publicKey)
			return nil
		}}))
	}
	e.must(change(actor))
	reader := e.client("reader", ruled(issuer))
	e.grant(reader, e.admin, auth.ScopeKeysRead)
	before := e.state()
	for name, err := range map[string]error{
		"keys":    change(actor),
		"disable": second(e.UpdateIssuer(t.Context(), actor, issuer.ID, registry.IssuerEdit{Change: rename(func(i *auth.TrustedIssuer) { i.Status = auth.Disabled })})),
		"delete":  second(e.DeleteIssuer(t.Context(), actor, issuer.ID, registry.Any)),
	} {
		if !errors.Is(err, fault.Forbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e.state() != before {
		t.Error("what was refused changed something")
	}
	e.must(change(officer("issuers:write keys:read")))
	introspector := e.client("introspector", ruled(issuer))
	e.grant(introspector, e.server, auth.ScopeIntrospectAll)
	if err := change(officer("issuers:write keys:read")); !errors.Is(err, fault.Forbidden) {
		t.Error(err)
	}
}

// The last full administrator's issuer stays in force.
func TestLastAdminByRules(t *testing.T) {
	d := newDesk(t)
	issuer := d.issuer("cluster", "https://cluster.example")
	c := d.client("root", ruled(issuer))
	var admin *auth.API
	d.view(func(tx auth.Tx) (err error) {
		admin, err = tx.APIs().APIByIdentifier(t.Context(), auth.AdminAPI)
		return err
	})
	d.grant(c, admin, adminScopes()...)
	err := second(d.UpdateIssuer(t.Context(), officer(adminScopes().String()), issuer.ID, registry.IssuerEdit{
		Change: rename(func(i *auth.TrustedIssuer) { i.Status = auth.Disabled }),
	}))
	if !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
}
