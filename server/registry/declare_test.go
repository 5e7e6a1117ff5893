package registry_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// What is exported makes the same system again in an empty database, by the same ids, and changes nothing where it is.
func TestExportWipeApply(t *testing.T) {
	for name, url := range worlds() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, url(t))
			w.apply(shop(), false)
			exported := w.export()
			again := newWorld(t, url(t))
			again.apply(exported, false)
			if diff := cmp.Diff(text(t, exported), text(t, again.export())); diff != "" {
				t.Error(diff)
			}
			for _, w := range []world{w, again} {
				for _, prune := range []bool{false, true} {
					before := w.head()
					if done := w.apply(exported, prune); len(done.Steps) > 0 || w.head() != before {
						t.Errorf("prune %v changes %q", prune, lines(&done.Plan))
					}
				}
			}
		})
	}
}

func TestPlanSaysWhatChanges(t *testing.T) {
	w := sqliteWorld(t)
	done := w.apply(shop(), false)
	want := []string{
		`add api https://stock.example name: "" → "Stock" scopes: "" → "stock:read \"see it\", stock:write" token_format: "" → "opaque" token_lifetime_seconds: "" → "600" signing_algorithm: "" → "ES256"`,
		`add api urn:example:mail name: "" → "Mail" scopes: "" → "send" token_format: "" → "jwt" token_lifetime_seconds: "" → "3600" signing_algorithm: "" → "ES256"`,
		`add client mailer status: "" → "disabled" token_endpoint_auth_method: "" → "client_secret_basic"`,
		`add client orders description: "" → "takes orders\nand keeps them" owner: "" → "team-a" labels: "" → "env=prod, tier=1" status: "" → "active" token_endpoint_auth_method: "" → "client_secret_post" default_resource: "" → "urn:example:mail"`,
		`add client stock status: "" → "active" token_endpoint_auth_method: "" → "client_secret_basic"`,
		`add grant orders → urn:example:mail scopes: "" → "send"`,
		`add grant orders → https://stock.example scopes: "" → "stock:read stock:write"`,
		`add grant stock → urn:countersign:server scopes: "" → "revocations:read"`,
		`add server stock → https://stock.example`,
		`add server mailer → urn:example:mail`,
		`add server stock → urn:example:mail`,
	}
	if diff := cmp.Diff(want, lines(&done.Plan)); diff != "" {
		t.Error(diff)
	}
	doc := shop()
	doc.APIs[0].Scopes = []auth.ScopeDefinition{{Name: "stock:read", Description: "look"}, {Name: "stock:move"}}
	doc.APIs[0].Servers = []string{"orders"}
	doc.APIs = doc.APIs[:1]
	doc.Clients[0].Disabled = new(false)
	doc.Clients[1].Grants = []registry.DeclaredGrant{{API: "https://stock.example", Scopes: []string{"stock:move"}}}
	doc.Clients[1].DefaultResource = nil
	doc = omitting(doc, "stock")
	want = []string{
		`change api https://stock.example scopes: "stock:read \"see it\", stock:write" → "stock:read \"look\", stock:move"`,
		`change client mailer status: "disabled" → "active"`,
		`change client orders default_resource: "urn:example:mail" → ""`,
		`change grant orders → https://stock.example scopes: "stock:read stock:write" → "stock:move"`,
		`add server orders → https://stock.example`,
		`remove client stock`,
		`remove api urn:example:mail`,
	}
	before := w.head()
	done = w.apply(doc, true)
	if diff := cmp.Diff(want, lines(&done.Plan)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"api.update", "client.enable", "grant.put", "client.update", "api.server.add", "client.delete", "api.update", "api.delete", "config.apply",
	}, w.actions(before)); diff != "" {
		t.Error(diff)
	}
	if p := w.plan(doc, true); len(p.Steps) > 0 {
		t.Errorf("once more would change %q", lines(p))
	}
}

// Without prune nothing is taken away but scopes of the grants that are named.
func TestWithoutPruneNothingIsRemoved(t *testing.T) {
	w := sqliteWorld(t)
	w.apply(shop(), false)
	before := w.export()
	doc := &registry.Document{
		APIs:    []registry.DeclaredAPI{shop().APIs[0]},
		Clients: []registry.DeclaredClient{{Name: "orders", Grants: []registry.DeclaredGrant{{API: "https://stock.example", Scopes: []string{"stock:read"}}}}},
	}
	doc.APIs[0].Servers = nil
	w.apply(doc, false)
	after := w.export()
	if len(after.APIs) != 2 || len(after.Clients) != 3 || len(after.Clients[1].Grants) != 2 || len(after.APIs[0].Servers) != 1 {
		t.Errorf("something went: %s", cmp.Diff(before, after))
	}
	if diff := cmp.Diff([]string{"stock:read"}, after.Clients[1].Grants[0].Scopes); diff != "" {
		t.Error(diff)
	}
	if *after.Clients[1].DefaultResource != "urn:example:mail" || after.Clients[1].Owner != "" {
		t.Errorf("what the document leaves out has its default, but for the default resource: %+v", after.Clients[1])
	}
	if after.Clients[0].Disabled == nil {
		t.Error("a client that is not named was enabled")
	}
}

// A client that was disabled in an emergency is not enabled by the next run of a pipeline.
func TestDisabledStaysUnlessDeclared(t *testing.T) {
	w := sqliteWorld(t)
	doc := &registry.Document{Clients: []registry.DeclaredClient{{Name: "orders"}}}
	w.apply(doc, false)
	c, err := w.ClientByName(t.Context(), system(), "orders")
	w.must(err)
	_, err = w.SetClientStatus(t.Context(), system(), c.ID, auth.Disabled)
	w.must(err)
	if p := w.plan(doc, true); len(p.Steps) > 0 {
		t.Errorf("plans %q", lines(p))
	}
	doc.Clients[0].Disabled = new(false)
	if diff := cmp.Diff([]string{`change client orders status: "disabled" → "active"`}, lines(&w.apply(doc, true).Plan)); diff != "" {
		t.Error(diff)
	}
}

// The first grant of a client becomes its default resource, as by a single call; an export says which it is, or that there is none.
func TestDefaultResourceOfDeclaredClient(t *testing.T) {
	w := sqliteWorld(t)
	doc := shop()
	doc.Clients = []registry.DeclaredClient{{Name: "orders", Grants: doc.Clients[1].Grants}}
	doc.APIs[0].Servers, doc.APIs[1].Servers = nil, nil
	w.apply(doc, true)
	if got := *w.export().Clients[0].DefaultResource; got != "https://stock.example" {
		t.Errorf("default resource is %q", got)
	}
	doc.Clients[0].Grants = doc.Clients[0].Grants[1:]
	w.apply(doc, true)
	if got := *w.export().Clients[0].DefaultResource; got != "" {
		t.Errorf("default resource is %q after its grant went", got)
	}
	if p := w.plan(doc, true); len(p.Steps) > 0 {
		t.Errorf("plans %q", lines(p))
	}
}
