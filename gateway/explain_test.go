package gateway_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

func TestExplain(t *testing.T) {
	issuer := sdktest.Start(t)
	g := newGateway(t, "issuers: {main: {url: "+issuer.URL()+", client_id: "+issuer.ClientID()+", client_secret: "+issuer.ClientSecret()+"}}\n"+
		strings.Replace(inventory, "max_body: 16", "rate_limit: {requests: 1, per: 1h}", 1)+
		"  - {name: bound, match: {path: /bound}, authentication: jwt, audience: \""+api+"\", sender_constrained: required, pool: echo}\n")
	token := issuer.Mint(sdktest.Claims{ClientID: "cl_a", Audience: []string{api}, Scopes: []string{"inventory:read"}})
	writer := issuer.Token(api, "inventory:write")
	for _, tt := range []struct {
		name, method, address, token string
		status                       int
		want                         []string
	}{
		{"let in", "GET", "https://api.test//items/./7?x=1", token, 200, []string{
			"path", "/items/7", "route", "read", "GET /items/*", "needs", "a token of " + issuer.URL() + " for " + api, "scopes inventory:read", "available", "cl_a",
			"let in", "pool echo, GET /items/7", "is passed on",
		}},
		{"without a token", "GET", "https://api.test/items", "", 401, []string{"401 Unauthorized no_token", "challenge", "Bearer realm="}},
		{"wrong scope", "POST", "https://api.test/items", token, 403, []string{"insufficient_scope", "one of the scopes inventory:write inventory:admin", "strict", "cl_a", "1 per 1h"}},
		{"rewritten", "POST", "https://api.test/items/7", writer, 200, []string{"/v1/stock/7", "stock.internal", "is not passed on"}},
		{"rewritten, not counted", "POST", "https://api.test/items/7", writer, 200, []string{"let in"}},
		{"open", "GET", "https://api.test/open", "", 200, []string{"nothing (authentication: none)", "asks for no token"}},
		{"bound tokens alone", "GET", "https://api.test/bound", "", 401, []string{"bound to a key or certificate of the caller's"}},
		{"no route", "GET", "https://api.test/x", token, 404, []string{"404 Not Found", "no route is for this host and path"}},
		{"ambiguous", "GET", "https://api.test/a%2fb", token, 400, []string{"encoded slash"}},
		{"no method", "PUT", "https://api.test/items", token, 405, []string{"method", "allowed", "GET, HEAD, POST"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address, err := url.Parse(tt.address)
			if err != nil {
				t.Fatal(err)
			}
			e := g.Explain(t.Context(), tt.method, address, tt.token)
			var out bytes.Buffer
			if err := e.Write(&out); err != nil {
				t.Fatal(err)
			}
			if e.Status != tt.status {
				t.Errorf("status %d, want %d", e.Status, tt.status)
			}
			for _, part := range tt.want {
				if !strings.Contains(out.String(), part) {
					t.Errorf("does not say %q:\n%s", part, out.String())
				}
			}
			if tt.token != "" && strings.Contains(out.String(), tt.token) {
				t.Error("the token is printed")
			}
		})
	}
}
