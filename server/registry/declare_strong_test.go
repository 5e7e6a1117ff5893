package registry_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func strongDocument() *registry.Document {
	claims := []auth.ClaimMatch{{Path: []string{"kubernetes.io", "namespace"}, Equals: "shop"}}
	return &registry.Document{
		APIs: []registry.DeclaredAPI{
			{Identifier: "https://orders.example", Name: "Orders", Scopes: []auth.ScopeDefinition{{Name: "orders:read"}}, Constraint: auth.DPoPBinding},
			{Identifier: "https://stock.example", Name: "Stock", Scopes: []auth.ScopeDefinition{{Name: "stock:read"}, {Name: "stock:write"}}},
		},
		Issuers: []registry.DeclaredIssuer{
			{Name: "cluster", Issuer: "https://cluster.example", Trust: auth.Trust{JWKS: json.RawMessage(publicKey), MaxLifetime: 10 * time.Minute}},
			{Name: "github", Issuer: "https://github.example", Disabled: new(true)},
		},
		Clients: []registry.DeclaredClient{
			{Name: "keyed", AuthMethod: auth.PrivateKeyJWT, Proofs: auth.Proofs{JWKS: json.RawMessage(publicKey), DPoPBound: true}},
			{
				Name: "orders", AuthMethod: auth.FederatedJWT, Rules: []registry.DeclaredRule{{Issuer: "cluster", Claims: claims}, {Issuer: "github", Claims: claims}},
				Exchanges: []registry.DeclaredExchange{{Source: "https://orders.example", Target: "https://stock.example", Scopes: []auth.ExchangeScope{
					{Scope: "stock:write", Needs: "orders:read"}, {Scope: "stock:read", Needs: "orders:read"},
				}}},
			},
			{Name: "shop", Grants: []registry.DeclaredGrant{{API: "https://orders.example", Scopes: []string{"orders:read"}, MayAct: "orders"}}},
			{Name: "tls", AuthMethod: auth.TLSClientAuth, Proofs: auth.Proofs{Certificate: &auth.CertificateName{Field: auth.SANDNS, Value: "tls.example"}}},
		},
	}
}

// What a document says of keys, issuers and exchanges becomes true, is exported as it was declared, and goes when it is not declared any more.
func TestStrongDocument(t *testing.T) {
	onEachWorld(t, func(w world) {
		plan := lines(w.plan(strongDocument(), false))
		want := []string{
			"add api https://orders.example", "add api https://stock.example", "add trusted_issuer cluster", "add trusted_issuer github", "add client keyed",
			"add client orders", "add client shop", "add client tls", "add grant shop → https://orders.example",
			"add exchange orders → https://orders.example → https://stock.example",
		}
		for i, line := range plan {
			if i >= len(want) || len(line) < len(want[i]) || line[:len(want[i])] != want[i] {
				w.Errorf("step %d is %s", i, line)
			}
		}
		w.apply(strongDocument(), false)
		for _, doc := range []*registry.Document{strongDocument(), w.export()} {
			if left := lines(w.plan(doc, true)); len(left) > 0 {
				w.Errorf("left is %q", left)
			}
		}
		exported := w.export()
		if c := exported.Clients[1]; len(c.Rules) != 2 || c.Rules[0].Issuer != "cluster" || len(c.Exchanges) != 1 || c.Exchanges[0].Scopes[0].Scope != "stock:read" {
			w.Errorf("%+v", c)
		}

		changed := strongDocument()
		changed.APIs[0].Constraint = ""
		changed.Issuers[0].Audience, changed.Issuers[1].Disabled = "https://aud.example", new(false)
		changed.Clients[0].AuthMethod, changed.Clients[0].Proofs = auth.SecretBasic, auth.Proofs{}
		changed.Clients[1].Rules = changed.Clients[1].Rules[:1]
		changed.Clients[1].Exchanges[0].Scopes = changed.Clients[1].Exchanges[0].Scopes[1:]
		changed.Clients[2].Grants[0].MayAct = ""
		got := lines(w.plan(changed, true))
		if diff := cmp.Diff([]string{
			`change api https://orders.example sender_constraint: "dpop" → ""`,
			`change trusted_issuer cluster audience: "" → "https://aud.example"`,
			`change trusted_issuer github status: "disabled" → "active"`,
			`change client keyed token_endpoint_auth_method: "private_key_jwt" → "client_secret_basic" jwks: "HeXENftXqPHXPPwdc1HKuiAwIncitqbA1urnSmiA3vM (sha256 f2cb6890…)" → "" dpop_bound_access_tokens: "true" → ""`,
			`change client orders federation: "cluster kubernetes.io/namespace=shop, github kubernetes.io/namespace=shop" → "cluster kubernetes.io/namespace=shop"`,
			`change grant shop → https://orders.example may_act: "orders" → ""`,
			`change exchange orders → https://orders.example → https://stock.example scopes: "orders:read=stock:read orders:read=stock:write" → "orders:read=stock:read"`,
		}, got); diff != "" {
			w.Error(diff)
		}
		w.apply(changed, true)
		if left := lines(w.plan(changed, true)); len(left) > 0 {
			w.Errorf("left is %q", left)
		}

		less := &registry.Document{APIs: changed.APIs, Issuers: changed.Issuers[1:], Clients: slices.Clone(changed.Clients[:1])}
		w.apply(less, true)
		if diff := cmp.Diff(lines(w.plan(less, true)), []string(nil)); diff != "" || len(w.export().Issuers) != 1 {
			w.Error(diff)
		}
	})
}

func TestStrongDocumentWrong(t *testing.T) {
	w := sqliteWorld(t)
	w.apply(strongDocument(), false)
	w.CheckURL = nil
	for name, tt := range map[string]struct {
		edit func(*registry.Document)
		at   []string
	}{
		"issuer twice":       {func(d *registry.Document) { d.Issuers[1].Name = "cluster" }, []string{"/trusted_issuers/1/name", "/clients/1/federation/1/issuer"}},
		"identifier changed": {func(d *registry.Document) { d.Issuers[0].Issuer = "https://other.example" }, []string{"/trusted_issuers/0/issuer"}},
		"discovery by http": {func(d *registry.Document) {
			d.Issuers[1] = registry.DeclaredIssuer{Name: "x", Issuer: "http://x.example"}
		}, []string{"/clients/1/federation/1/issuer", "/trusted_issuers/1/issuer"}},
		"weak algorithm": {func(d *registry.Document) { d.Issuers[0].Algorithms = []string{"none"} }, []string{"/trusted_issuers/0/algorithms"}},
		"rule of nobody": {func(d *registry.Document) { d.Clients[1].Rules[1].Issuer = "nobody" }, []string{"/clients/1/federation/1/issuer"}},
		"private key": {func(d *registry.Document) {
			d.Clients[0].Proofs.JWKS = json.RawMessage(`{"keys":[{"kty":"oct","k":"AA"}]}`)
		}, []string{"/clients/0/jwks"}},
		"address by http":     {func(d *registry.Document) { d.Clients[0].Proofs = auth.Proofs{JWKSURI: "http://x.example"} }, []string{"/clients/0/jwks_uri"}},
		"keys for a secret":   {func(d *registry.Document) { d.Clients[0].AuthMethod = auth.SecretBasic }, []string{"/clients/0/jwks"}},
		"secret beside keys":  {func(d *registry.Document) { d.Clients[0].Secret = &registry.DeclaredSecret{Generate: true} }, []string{"/clients/0/secret"}},
		"exchange of nothing": {func(d *registry.Document) { d.Clients[1].Exchanges[0].Target = "https://x.example" }, []string{"/clients/1/exchanges/0/target"}},
		"exchange of unknown": {func(d *registry.Document) { d.Clients[1].Exchanges[0].Scopes[0].Needs = "x" }, []string{"/clients/1/exchanges/0/scopes"}},
		"actor unknown":       {func(d *registry.Document) { d.Clients[2].Grants[0].MayAct = "x" }, []string{"/clients/2/grants/0/may_act"}},
		"constraint unknown":  {func(d *registry.Document) { d.APIs[0].Constraint = "x" }, []string{"/apis/0/sender_constraint"}},
	} {
		doc := strongDocument()
		tt.edit(doc)
		_, err := w.Plan(t.Context(), system(), doc, true)
		found, _ := errors.AsType[*registry.DocumentError](err)
		var at []string
		if found != nil {
			for _, wrong := range found.Wrong {
				at = append(at, wrong.Pointer)
			}
		}
		if !slices.Equal(at, tt.at) {
			t.Errorf("%s: %q, want %q: %v", name, at, tt.at, err)
		}
	}
}

// Documents are no way around what single changes need.
func TestStrongDocumentNeedsScopes(t *testing.T) {
	w := sqliteWorld(t)
	reads := []string{auth.ScopeAPIsRead, auth.ScopeClientsRead, auth.ScopeGrantsRead, auth.ScopeIssuersRead}
	writes := []string{auth.ScopeAPIsWrite, auth.ScopeClientsWrite, auth.ScopeGrantsWrite, auth.ScopeIssuersWrite, auth.ScopeSecretsWrite}
	for _, missing := range writes {
		actor := w.admin("without "+missing, append(slices.DeleteFunc(slices.Clone(writes), func(s string) bool { return s == missing }), reads...)...)
		_, err := w.Apply(t.Context(), actor, strongDocument(), registry.ApplyOptions{})
		if found := fault.From(err); found == nil || found.Code != fault.InsufficientScope || found.Field != missing {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	actor := w.admin("all", append(writes, reads...)...)
	if _, err := w.Apply(t.Context(), actor, strongDocument(), registry.ApplyOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := w.Export(t.Context(), w.admin("reader", reads[:3]...)); !errors.Is(err, fault.InsufficientScope) {
		t.Errorf("export without issuers:read: %v", err)
	}
}
