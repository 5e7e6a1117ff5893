package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func TestWhatIsWrongWithADocument(t *testing.T) {
	w := sqliteWorld(t)
	w.apply(shop(), false)
	there := w.export()
	for _, tt := range []struct {
		name  string
		edit  func(*registry.Document)
		prune bool
		want  []string
	}{
		{"an API twice", func(d *registry.Document) { d.APIs[1] = d.APIs[0] }, false, []string{"/apis/1/identifier"}},
		{"a client twice", func(d *registry.Document) { d.Clients[1] = d.Clients[0] }, false, []string{"/clients/1/name"}},
		{"an API of ours", func(d *registry.Document) { d.APIs[0].Identifier = auth.AdminAPI }, false, []string{"/apis/0/identifier"}},
		{
			"every member of an API", func(d *registry.Document) {
				d.APIs = append(d.APIs, registry.DeclaredAPI{
					ID: "api_1", Identifier: "no URI", Scopes: []auth.ScopeDefinition{{Name: "a b"}}, Format: "saml", Lifetime: time.Second, Algorithm: "none",
				})
			}, false,
			[]string{"/apis/2/api_id", "/apis/2/identifier", "/apis/2/name", "/apis/2/scopes", "/apis/2/token_format", "/apis/2/token_lifetime_seconds", "/apis/2/signing_algorithm"},
		},
		{
			"every member of a client", func(d *registry.Document) {
				d.Clients = append(d.Clients, registry.DeclaredClient{
					ID: "cl_0000000000000000000000", Description: "\x00", Owner: strings.Repeat("x", 300), Labels: map[string]string{"": ""}, AuthMethod: "none",
				})
			}, false,
			[]string{"/clients/3/client_id", "/clients/3/name", "/clients/3/description", "/clients/3/owner", "/clients/3/labels", "/clients/3/token_endpoint_auth_method"},
		},
		{"an id that is taken", func(d *registry.Document) { d.Clients[0].ID, d.Clients[0].Name = there.Clients[0].ID, "other" }, false, []string{"/clients/0/client_id"}},
		{"an API's id that is taken", func(d *registry.Document) { d.APIs[0].ID, d.APIs[0].Identifier = there.APIs[0].ID, "urn:example:other" }, false, []string{
			"/apis/0/api_id",
		}},
		{"ids twice", func(d *registry.Document) {
			id := auth.NewClientID(time.Now()).String()
			d.Clients = append(d.Clients, registry.DeclaredClient{ID: id, Name: "x"}, registry.DeclaredClient{ID: id, Name: "y"})
		}, false, []string{"/clients/4/client_id"}},
		{"servers that are nobody, or twice", func(d *registry.Document) { d.APIs[1].Servers = []string{"nobody", "stock", "stock"} }, false, []string{
			"/apis/1/servers/0", "/apis/1/servers/2",
		}},
		{"grants on nothing, twice, of what is not offered, of nothing", func(d *registry.Document) {
			d.Clients[1].Grants = append(d.Clients[1].Grants, d.Clients[1].Grants[0], registry.DeclaredGrant{API: "urn:example:none", Scopes: []string{"x"}})
			d.Clients[0].Grants = []registry.DeclaredGrant{{API: "urn:example:mail", Scopes: []string{"send", "receive"}}, {API: auth.ServerAPI}}
		}, false, []string{"/clients/0/grants/0/scopes/1", "/clients/0/grants/1/scopes", "/clients/1/grants/2/api", "/clients/1/grants/3/api"}},
		{"a default without a grant, and of nothing", func(d *registry.Document) {
			d.Clients[0].DefaultResource, d.Clients[2].DefaultResource = new("urn:example:mail"), new("urn:example:none")
		}, false, []string{"/clients/0/default_resource", "/clients/2/default_resource"}},
		{"what would be pruned", func(d *registry.Document) { d.APIs, d.Clients = d.APIs[:1], d.Clients[1:2] }, true, []string{
			"/apis/0/servers/0", "/clients/0/grants/1/api", "/clients/0/default_resource",
		}},
		{"a default whose grant would be pruned", func(d *registry.Document) { d.Clients[1].Grants = d.Clients[1].Grants[:1] }, true, []string{"/clients/1/default_resource"}},
		{"a scope that others hold", func(d *registry.Document) {
			d.APIs[0].Scopes = d.APIs[0].Scopes[:1]
			*d = *omitting(d, "orders")
		}, false, []string{"/apis/0/scopes"}},
		{"too many scopes on the way", func(d *registry.Document) {
			d.APIs[0].Scopes = nil
			for i := range 256 {
				d.APIs[0].Scopes = append(d.APIs[0].Scopes, auth.ScopeDefinition{Name: fmt.Sprint("s", i)})
			}
			d.Clients[1].Grants[0].Scopes = []string{"s1"}
		}, false, []string{"/apis/0/scopes"}},
		{"secrets of both kinds, of neither, of a bad form", func(d *registry.Document) {
			d.Clients[0].Secret = &registry.DeclaredSecret{}
			d.Clients[1].Secret = &registry.DeclaredSecret{Generate: true, Value: auth.PresentedSecret("correct-horse-battery")}
			d.Clients[2].Secret = &registry.DeclaredSecret{Value: auth.PresentedSecret("short")}
		}, false, []string{"/clients/0/secret", "/clients/1/secret", "/clients/2/secret/value"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := shop()
			tt.edit(doc)
			_, err := w.Plan(t.Context(), system(), doc, tt.prune)
			found, ok := errors.AsType[*registry.DocumentError](err)
			if !ok || !errors.Is(err, fault.InvalidRequest) {
				t.Fatalf("error %v", err)
			}
			var at []string
			for _, wrong := range found.Wrong {
				at = append(at, wrong.Pointer)
				if wrong.Detail == "" {
					t.Errorf("%s is not explained", wrong.Pointer)
				}
			}
			if diff := cmp.Diff(tt.want, at); diff != "" {
				t.Error(diff)
			}
			if found.Count != len(at) || fault.From(err).Field != at[0] {
				t.Errorf("%d errors, the first at %s", found.Count, fault.From(err).Field)
			}
			if _, err := w.Apply(t.Context(), system(), doc, registry.ApplyOptions{Prune: tt.prune}); !errors.Is(err, fault.InvalidRequest) {
				t.Errorf("applied: %v", err)
			}
		})
	}
	if diff := cmp.Diff(there, w.export()); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentIsBounded(t *testing.T) {
	w := sqliteWorld(t)
	doc := &registry.Document{APIs: make([]registry.DeclaredAPI, registry.MaxDeclaredAPIs+1), Clients: make([]registry.DeclaredClient, registry.MaxDeclaredClients+1)}
	_, err := w.Plan(t.Context(), system(), doc, false)
	if found, ok := errors.AsType[*registry.DocumentError](err); !ok || found.Count != 2 {
		t.Errorf("error %v", err)
	}
	doc = &registry.Document{Clients: make([]registry.DeclaredClient, 1000)}
	_, err = w.Plan(t.Context(), system(), doc, false)
	if found, ok := errors.AsType[*registry.DocumentError](err); !ok || found.Count != 1000 || len(found.Wrong) != 100 {
		t.Errorf("error %v", err)
	}
}
