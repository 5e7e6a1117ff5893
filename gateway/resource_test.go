package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/httpx"
)

const published = `
issuers: {a: {url: https://a.test}, b: {url: https://b.test}}
resources:
  - {audience: https://api.test/inventory, name: Inventory, documentation: https://docs.test, policy: https://docs.test/p, terms_of_service: https://docs.test/t}
  - {audience: https://orders.test, scopes: [orders:read]}
routes:
  - {name: read, match: {prefix: /inventory, methods: [GET]}, authentication: introspect, issuer: b, audience: https://api.test/inventory, all_of: [read], pool: echo}
  - {name: write, match: {prefix: /inventory, methods: [POST]}, authentication: jwt, issuer: a, audience: https://api.test/inventory, any_of: [write, read], pool: echo}
  - {name: orders, match: {prefix: /orders}, authentication: jwt, issuer: a, audience: https://orders.test, sender_constrained: required, pool: echo}
  - {name: other, match: {prefix: /}, authentication: jwt, issuer: a, audience: https://other.test, pool: echo}
`

// served are the routes of published at a host, by one of the handlers of a gateway.
func served(t *testing.T, serves func(*gateway.Gateway) http.HandlerFunc) func(method, host, path string) answer {
	t.Helper()
	edge := &httpx.Edge{Log: newLog(t), Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	handler := edge.Wrap(serves(newGateway(t, published)))
	return func(method, host, path string) answer {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
		r.Host = host
		handler.ServeHTTP(w, r)
		body, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{w.Code, w.Result().Header, string(body)}
	}
}

func routes(g *gateway.Gateway) http.HandlerFunc    { return g.ServeHTTP }
func decisions(g *gateway.Gateway) http.HandlerFunc { return g.Authorize }

func TestResourceMetadata(t *testing.T) {
	const wellKnown = "/.well-known/oauth-protected-resource"
	for name, serves := range map[string]func(*gateway.Gateway) http.HandlerFunc{"routes": routes, "authorization": decisions} {
		send := served(t, serves)
		for _, tt := range []struct {
			host, path string
			want       map[string]any
		}{
			{"api.test", wellKnown + "/inventory", map[string]any{
				"resource": "https://api.test/inventory", "authorization_servers": []any{"https://b.test", "https://a.test"},
				"scopes_supported": []any{"read", "write"}, "bearer_methods_supported": []any{"header"}, "dpop_signing_alg_values_supported": []any{"ES256", "RS256", "PS256", "EdDSA"}, "resource_name": "Inventory",
				"resource_documentation": "https://docs.test", "resource_policy_uri": "https://docs.test/p", "resource_tos_uri": "https://docs.test/t",
			}},
			{"ORDERS.test:443", wellKnown, map[string]any{
				"resource": "https://orders.test", "authorization_servers": []any{"https://a.test"}, "scopes_supported": []any{"orders:read"},
				"bearer_methods_supported": []any{"header"}, "dpop_signing_alg_values_supported": []any{"ES256", "RS256", "PS256", "EdDSA"},
				"dpop_bound_access_tokens_required": true,
			}},
		} {
			t.Run("M13 "+name+" "+tt.host, func(t *testing.T) {
				got := send(http.MethodGet, tt.host, tt.path)
				var members map[string]any
				if err := json.Unmarshal([]byte(got.body), &members); err != nil || got.status != http.StatusOK {
					t.Fatalf("%d %s", got.status, got.body)
				}
				if diff := cmp.Diff(tt.want, members); diff != "" {
					t.Error(diff)
				}
				if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "public, max-age=3600" {
					t.Errorf("got %v", got.header)
				}
				if head := send(http.MethodHead, tt.host, tt.path); head.status != http.StatusOK {
					t.Errorf("HEAD: %d", head.status)
				}
			})
		}
	}
	t.Run("nowhere else", func(t *testing.T) {
		send := served(t, routes)
		if got := send(http.MethodPost, "api.test", wellKnown+"/inventory"); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST: %d %v", got.status, got.header)
		}
		for host, path := range map[string]string{"orders.test": wellKnown + "/inventory", "api.test": wellKnown, "other.test": wellKnown} {
			if got := send(http.MethodGet, host, path); got.status != http.StatusUnauthorized { // the route for all else
				t.Errorf("%s%s: %d %s", host, path, got.status, got.body)
			}
		}
		decide := served(t, decisions)
		if got := decide(http.MethodGet, "api.test", wellKnown); got.status != http.StatusNotFound {
			t.Errorf("the listener for decisions: %d %s", got.status, got.body)
		}
	})
}

func TestChallengesNameTheMetadata(t *testing.T) {
	send := served(t, routes)
	for path, want := range map[string]string{
		"/inventory/items": `Bearer realm="https://api.test/inventory", resource_metadata="https://api.test/.well-known/oauth-protected-resource/inventory"`,
		"/orders":          `Bearer realm="https://orders.test", resource_metadata="https://orders.test/.well-known/oauth-protected-resource"`,
		"/else":            `Bearer realm="https://other.test"`,
	} {
		got := send(http.MethodGet, "api.test", path)
		if challenge := got.header.Get("WWW-Authenticate"); got.status != http.StatusUnauthorized || challenge != want {
			t.Errorf("%s: %d %s, want %s", path, got.status, challenge, want)
		}
	}
	address, err := url.Parse("https://api.test/.well-known/oauth-protected-resource/inventory")
	if err != nil {
		t.Fatal(err)
	}
	e := newGateway(t, published).Explain(t.Context(), http.MethodGet, address, "")
	if e.Status != http.StatusOK || e.Reason != "the gateway answers with the metadata of https://api.test/inventory" {
		t.Errorf("explained as %+v", e)
	}
}

func TestMistakesInResources(t *testing.T) {
	for _, tt := range []struct{ name, audience, more, want string }{
		{"no route", "https://none.test", "", `resources[0].audience: "https://none.test" is the audience of no route`},
		{"a URN", "urn:api", "", "want an https URL without user, query and fragment"},
		{"a query", "https://api.test?a=b", "", "want an https URL without user, query and fragment"},
		{"http", "http://api.test", "", "neither https nor on loopback"},
		{"a user", "https://user@api.test", "", "without user, query and fragment"},
		{"a path with two spellings", "https://api.test/a/../b", "", `is matched as "/.well-known/oauth-protected-resource/b"`},
		{"a host with two readings", "https://api%2etest", "", "resources[0].audience"},
		{
			"a route at its path", "https://api.test",
			"  - {name: taken, match: {path: /.well-known/oauth-protected-resource, hosts: [api.test], methods: [GET]}, authentication: none, pool: echo}\n",
			`resources[0].audience: the route "taken" is for the path of its metadata`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			audience := tt.audience
			if tt.name == "no route" {
				audience = "https://api.test"
			}
			_, err := assemble(t, "issuers: {a: {url: https://a.test}}\nresources: [{audience: \""+tt.audience+"\"}]\nroutes:\n"+
				"  - {name: r, match: {prefix: /}, authentication: jwt, audience: \""+audience+"\", pool: echo}\n"+tt.more, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "gateway.yaml:") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	_, err := assemble(t, strings.Replace(published, "https://orders.test, scopes", "https://api.test/inventory, scopes", 1), nil)
	if err == nil || !strings.Contains(err.Error(), "resources[1].audience") {
		t.Errorf("one that is there twice: %v", err)
	}
	_, err = assemble(t, strings.Replace(published, "scopes: [orders:read]", "scopes: [\"a b\"]", 1), nil)
	if err == nil || !strings.Contains(err.Error(), "resources[1].scopes[0]") {
		t.Errorf("a scope that is none: %v", err)
	}
}
