package gateway_test

import (
	"os"
	"strings"
	"testing"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/document"
)

// The example in deploy says what the defaults are and can be loaded.
func TestExampleConfiguration(t *testing.T) {
	text, err := os.ReadFile("../deploy/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var given gateway.Document
	if _, err := document.Decode("gateway.yaml", text, &given); err != nil {
		t.Fatal(err)
	}
	if len(given.Routes) != 3 || given.Routes[1].Mode != "strict" || given.Routes[0].RateLimit.Burst != 200 || given.Issuers["company"].Grace.Minutes() != 15 {
		t.Errorf("%+v", given)
	}
}

// Mistakes that only show when parts are put together name line and member, all at once.
func TestMistakesInRoutes(t *testing.T) {
	const issuers = "issuers: {a: {url: https://a.test}, b: {url: https://b.test}}\n"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"neither path nor prefix", `routes: [{name: r, match: {methods: [GET]}, authentication: none, pool: echo}]`, []string{"routes[0].match: want one of path and prefix"}},
		{"both", `routes: [{name: r, match: {path: /a, prefix: /b}, authentication: none, pool: echo}]`, []string{"want one of path and prefix"}},
		{"path not canonical", `routes: [{name: r, match: {path: /a//b}, authentication: none, pool: echo}]`, []string{`routes[0].match.path: "/a//b" is matched as "/a/b": write it so`}},
		{"path with query", `routes: [{name: r, match: {path: "/a?b"}, authentication: none, pool: echo}]`, []string{"neither query nor fragment"}},
		{"relative", `routes: [{name: r, match: {prefix: a}, authentication: none, pool: echo}]`, []string{"does not begin with a slash"}},
		{"host with port", `routes: [{name: r, match: {prefix: /, hosts: ["a.test:80"]}, authentication: none, pool: echo}]`, []string{`routes[0].match.hosts[0]: "a.test:80": want a name without port`}},
		{"small method", `routes: [{name: r, match: {prefix: /, methods: [get]}, authentication: none, pool: echo}]`, []string{`"get" is no method`}},
		{"no host", `routes: [{name: r, match: {prefix: /, hosts: []}, authentication: none, pool: echo}]`, []string{"routes[0].match.hosts: is empty"}},
		{"no method", `routes: [{name: r, match: {prefix: /, methods: []}, authentication: none, pool: echo}]`, []string{"routes[0].match.methods: is empty"}},
		{"TRACE", `routes: [{name: r, match: {prefix: /, methods: [TRACE]}, authentication: none, pool: echo}]`, []string{"TRACE is never passed on"}},
		{"twice the same", "routes:\n  - {name: r, match: {prefix: /}, authentication: none, pool: echo}\n  - {name: s, match: {prefix: /, methods: [GET]}, authentication: none, pool: echo}\n  - {name: t, match: {prefix: /, methods: [GET, PUT]}, authentication: none, pool: echo}", []string{`gateway.yaml:5: routes[2].match: the route "s" is for the same host, path and method`}},
		{"twice the name", "routes:\n  - {name: r, match: {prefix: /}, authentication: none, pool: echo}\n  - {name: r, match: {prefix: /a}, authentication: none, pool: echo}", []string{`routes[1].name: "r" is the name of another route too`}},
		{"unknown pool", `routes: [{name: r, match: {prefix: /}, authentication: none, pool: ecko}]`, []string{`routes[0].pool: "ecko" is not in pools: echo`}},
		{"no pool", `routes: [{name: r, match: {prefix: /}, authentication: none}]`, []string{"routes[0].pool: is missing: one of echo"}},
		{"no issuer", `routes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]`, []string{"routes[0].authentication: wants an issuer"}},
		{"which issuer", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]`, []string{"routes[0].issuer: is missing: one of a, b"}},
		{"unknown issuer", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: c, audience: x, pool: echo}]`, []string{`"c" is not in issuers: a, b`}},
		{"no audience", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: a, pool: echo}]`, []string{"routes[0].audience: is missing"}},
		{"bad scope", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: a, audience: x, all_of: ["a b"], pool: echo}]`, []string{`routes[0].all_of[0]: "a b" is no scope`}},
		{"no scope", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: a, audience: x, any_of: [], pool: echo}]`, []string{"routes[0].any_of: is empty"}},
		{"scopes for anybody", `routes: [{name: r, match: {prefix: /}, authentication: none, all_of: [a], mode: strict, pool: echo}]`, []string{"routes[0].all_of: means nothing with authentication: none", "routes[0].mode: means nothing"}},
		{"strip another prefix", `routes: [{name: r, match: {prefix: /a}, authentication: none, pool: echo, rewrite: {strip_prefix: /b}}]`, []string{`routes[0].rewrite.strip_prefix: "/b" is not the beginning`}},
		{"path and prefix rewritten", `routes: [{name: r, match: {prefix: /a}, authentication: none, pool: echo, rewrite: {path: /c, add_prefix: /b}}]`, []string{"routes[0].rewrite.path: takes the place of the whole path"}},
		{"exchange without credentials", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: a, audience: x, pool: echo, exchange: {resource: y}}]`, []string{`routes[0].exchange: needs the client_id of issuer "a"`}},
		{"exchange of what is dropped", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: a, audience: x, token: drop, pool: echo, exchange: {resource: y}}]`, []string{"routes[0].exchange: does not go with token: drop"}},
		{"exchange for anybody", `routes: [{name: r, match: {prefix: /}, authentication: none, pool: echo, exchange: {resource: y}}]`, []string{"routes[0].exchange: means nothing with authentication: none"}},
		{"exchange for decisions alone", "listeners: [{name: l, address: \"127.0.0.1:0\", serves: authorization}]\n" + issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: a, audience: x, exchange: {resource: y}}]`, []string{"routes[0].exchange: is for routes with a pool"}},
		{"exchange for no scope", issuers + `routes: [{name: r, match: {prefix: /}, authentication: jwt, issuer: a, audience: x, pool: echo, exchange: {resource: y, scopes: []}}]`, []string{"routes[0].exchange.scopes: is empty"}},
		{"plain http", "issuers: {a: {url: http://a.test}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a", "https"}},
		{"secret without client", "issuers: {a: {url: https://a.test, client_secret: hush}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_id: is missing"}},
		{"token store without Redis", "issuers: {a: {url: https://a.test, token_store: {apis: {x: api_y}}}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.token_store: redis_file is missing"}},
		{"token store twice", "issuers: {a: {url: https://a.test, token_store: {redis: hush, redis_file: z, apis: {x: api_y}}}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"redis and redis_file are both set"}},
		{"client without secret", "issuers: {a: {url: https://a.test, client_id: x}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_secret_file: is missing"}},
		{"secret twice", "issuers: {a: {url: https://a.test, client_id: x, client_secret: hush, client_secret_file: z}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_secret: client_secret_file is set too"}},
		{"secret and key", "issuers: {a: {url: https://a.test, client_id: x, client_secret: hush, client_key_file: z}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_secret: client_key_file is set too"}},
		{"key without client", "issuers: {a: {url: https://a.test, client_key_file: z}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_id: is missing, whose client_key_file is set"}},
		{"no such key", "issuers: {a: {url: https://a.test, client_id: x, client_key_file: testdata/none}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_key_file: open testdata/none"}},
		{"no such assertion", "issuers: {a: {url: https://a.test, client_id: x, client_assertion_file: testdata/none}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_assertion_file: open testdata/none"}},
		{"no such secret", "issuers: {a: {url: https://a.test, client_id: x, client_secret_file: testdata/none}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.client_secret_file: open testdata/none"}},
		{"no such authorities", "issuers: {a: {url: https://a.test, ca: testdata/none}}\nroutes: [{name: r, match: {prefix: /}, authentication: jwt, audience: x, pool: echo}]", []string{"issuers.a.ca: open testdata/none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := assemble(t, tt.text, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\ndoes not say %q", err, part)
				}
			}
			if !strings.HasPrefix(err.Error(), "gateway.yaml:") || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v", err)
			}
		})
	}
}

// The pools of a document that only decides for others may be left out.
func TestDecisionsNeedNoPools(t *testing.T) {
	const text = "listeners: [{name: a, address: \"127.0.0.1:0\", serves: authorization}]\nroutes: [{name: r, match: {prefix: /}, authentication: none}]"
	if _, err := assemble(t, text, nil); err != nil {
		t.Error(err)
	}
}
