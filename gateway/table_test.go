package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/gateway"
)

// The most specific route decides, and no spelling of a path gets around it.
func TestRoutesAreFound(t *testing.T) {
	g := newGateway(t, `
routes:
  - {name: all, match: {prefix: /}, authentication: none, pool: echo}
  - {name: admin, match: {prefix: /admin}, authentication: none, pool: echo}
  - {name: admin-read, match: {prefix: /admin/audit, methods: [GET]}, authentication: none, pool: echo}
  - {name: token, match: {path: /token, methods: [POST]}, authentication: none, pool: echo}
  - {name: token-get, match: {path: /token, methods: [GET]}, authentication: none, pool: echo}
  - {name: host, match: {hosts: [api.example.com], prefix: /v1}, authentication: none, pool: echo}
  - {name: domain, match: {hosts: ["*.example.com"], prefix: /v1}, authentication: none, pool: echo}
  - {name: domain-all, match: {hosts: ["*.example.com"], path: /only}, authentication: none, pool: echo}
  - {name: Capital, match: {path: /Reports}, authentication: none, pool: echo}
`)
	for _, tt := range []struct{ method, host, path, want string }{
		{"GET", "x", "/", "all"},
		{"GET", "x", "/other", "all"},
		{"GET", "x", "/admin", "admin"},
		{"GET", "x", "/admin/", "admin"},
		{"GET", "x", "/admin/x/y", "admin"},
		{"GET", "x", "/administrator", "all"},
		{"GET", "x", "//admin", "admin"},
		{"GET", "x", "/%61dmin", "admin"},
		{"GET", "x", "/a/../admin", "admin"},
		{"GET", "x", "/ADMIN", "400"},
		{"GET", "x", "/Admin/users", "400"},
		{"GET", "x", "/admin/Users", "admin"},
		{"GET", "x", "/Other", "all"},
		{"GET", "x", "/Reports", "Capital"},
		{"GET", "x", "/reports", "400"},
		{"GET", "x", "/admin/audit/7", "admin-read"},
		{"HEAD", "x", "/admin/audit/7", "admin-read"},
		{"POST", "x", "/admin/audit/7", "405"},
		{"POST", "x", "/token", "token"},
		{"POST", "x", "/token/", "token"},
		{"GET", "x", "/token", "token-get"},
		{"HEAD", "x", "/token", "token-get"},
		{"DELETE", "x", "/token", "405"},
		{"TRACE", "x", "/", "405"},
		{"GET", "x", "/token/x", "all"},
		{"GET", "api.example.com", "/v1/x", "host"},
		{"GET", "API.Example.com.:8080", "/v1/x", "host"},
		{"GET", "www.example.com", "/v1/x", "domain"},
		{"GET", "a.b.example.com", "/v1/x", "domain"},
		{"GET", "example.com", "/v1/x", "all"},
		{"GET", "notexample.com", "/v1/x", "all"},
		{"GET", "api.example.com", "/admin", "admin"},
		{"GET", "api.example.com", "/only", "domain-all"},
		{"GET", "api.example.com", "/ONLY", "400"},
	} {
		if got := g.Find(tt.method, tt.host, tt.path); got != tt.want {
			t.Errorf("%s %s%s: %s, want %s", tt.method, tt.host, tt.path, got, tt.want)
		}
	}
}

func TestWithoutACatchAllUnknownPathsAreNotFound(t *testing.T) {
	g := newGateway(t, `
routes:
  - {name: one, match: {hosts: [a.test], prefix: /one}, authentication: none, pool: echo}
`)
	for _, tt := range []struct{ host, path, want string }{
		{"a.test", "/one", "one"},
		{"b.test", "/one", "404"},
		{"a.test", "/", "404"},
		{"a.test", "/ONE", "400"},
		{"b.test", "/ONE", "404"},
	} {
		if got := g.Find("GET", tt.host, tt.path); got != tt.want {
			t.Errorf("%s%s: %s, want %s", tt.host, tt.path, got, tt.want)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	g := newGateway(b, `
routes:
  - {name: all, match: {prefix: /}, authentication: none, pool: echo}
  - {name: items, match: {hosts: [api.example.com], prefix: /inventory/items, methods: [GET]}, authentication: none, pool: echo}
`)
	for b.Loop() {
		if g.Find("GET", "api.example.com:8080", "/inventory/items/4711/reservations") != "items" {
			b.Fatal("wrong route")
		}
	}
}

// FuzzFind compares the table with a search through all routes, on whatever paths, hosts and methods.
func FuzzFind(f *testing.F) {
	type rule struct {
		name, host, path string
		exact            bool
		methods          []string
	}
	rules := []rule{
		{"all", "", "/", false, nil},
		{"a", "", "/a", false, nil},
		{"ab", "", "/a/b", false, []string{"GET"}},
		{"ax", "", "/a/b", true, []string{"POST"}},
		{"h", "h.test", "/a", false, []string{"GET"}},
		{"hx", "h.test", "/c", true, nil},
		{"d", "*.test", "/a/b/c", false, nil},
	}
	text := "routes:\n"
	for _, r := range rules {
		kind, hosts, methods := "prefix", "", ""
		if r.exact {
			kind = "path"
		}
		if r.host != "" {
			hosts = ", hosts: [\"" + r.host + "\"]"
		}
		if len(r.methods) > 0 {
			methods = ", methods: [" + strings.Join(r.methods, ", ") + "]"
		}
		text += "  - {name: " + r.name + ", match: {" + kind + ": " + r.path + hosts + methods + "}, authentication: none, pool: echo}\n"
	}
	g := newGateway(f, text)
	for _, path := range []string{"/", "/a", "/a/b/", "/a/b/c", "/c", "/ab", "/A/b"} {
		f.Add("GET", "h.test", path)
		f.Add("POST", "x.test", path)
	}
	// rank orders the rules that a request could mean; the greatest decides.
	rank := func(r rule, host, path string) int {
		at := 0
		switch {
		case r.host == host:
			at = 2_000_000
		case strings.HasPrefix(r.host, "*") && strings.HasSuffix(host, r.host[1:]) && len(host) >= len(r.host):
			at = 1_000_000
		case r.host != "":
			return -1
		}
		path, own := strings.TrimSuffix(path, "/"), strings.TrimSuffix(r.path, "/")
		switch {
		case r.exact && path == own:
			return at + 500_000
		case !r.exact && (path == own || strings.HasPrefix(path, own+"/")):
			return at + len(own)
		}
		return -1
	}
	f.Fuzz(func(t *testing.T, method, host, path string) {
		one, err := gateway.Canonical(gateway.Paths{}, path)
		name, ok := gateway.Hostname(host)
		if err != nil || strings.ToLower(one) != one || method == "TRACE" || method == "CONNECT" || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || !ok || name != host || len(one) > 400_000 {
			return
		}
		best, want := -1, "404"
		for _, r := range rules {
			if at := rank(r, host, one); at > best {
				best, want = at, r.name
				if len(r.methods) > 0 && !slices.Contains(r.methods, method) && (method != "HEAD" || r.methods[0] != "GET") {
					want = "405"
				}
			}
		}
		if got := g.Find(method, host, path); got != want {
			t.Errorf("%s %s%s: %s, want %s", method, host, one, got, want)
		}
	})
}
