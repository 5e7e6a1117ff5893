package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk/sdktest"
)

// authority is a gateway that decides for a proxy.
func authority(t *testing.T) (ask func(path string, header http.Header) answer, issuer *sdktest.Issuer) {
	t.Helper()
	issuer = sdktest.Start(t)
	g, err := assemble(t, `
listeners: [{name: a, address: "127.0.0.1:0", serves: authorization}]
issuers: {main: {url: `+issuer.URL()+`, client_id: `+issuer.ClientID()+`, client_secret: `+issuer.ClientSecret()+`}}
routes:
  - {name: read, match: {prefix: /items, methods: [GET]}, authentication: introspect, audience: "https://inventory.test", all_of: [inventory:read], mode: strict}
  - {name: write, match: {prefix: /items, methods: [POST]}, authentication: introspect, audience: "https://inventory.test", all_of: [inventory:write], mode: strict}
  - {name: open, match: {hosts: [www.test], prefix: /}, authentication: none, rate_limit: {requests: 2, per: 1h, by: route}}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	edge := &httpx.Edge{Log: newLog(t), Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	handler := edge.Wrap(http.HandlerFunc(g.Authorize))
	return func(path string, header http.Header) answer {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header = header
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		return answer{recorder.Code, recorder.Header(), recorder.Body.String()}
	}, issuer
}

// about is what a proxy says of the request that it asks about.
func about(method, uri, host, token string) http.Header {
	h := http.Header{"X-Forwarded-Method": {method}, "X-Forwarded-Uri": {uri}, "X-Forwarded-Host": {host}}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}

func TestDecisionsForOtherProxies(t *testing.T) {
	ask, issuer := authority(t)
	read := issuer.Mint(sdktest.Claims{ClientID: "cl_a", Audience: []string{api}, Scopes: []string{"inventory:read"}})
	opaque := issuer.MintOpaque(sdktest.Claims{ClientID: "cl_a", Audience: []string{api}, Scopes: []string{"inventory:read"}})
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
		code   string
	}{
		{"JWT", about("GET", "/items/7?x=1", "api.test", read), 200, ""},
		{"opaque", about("GET", "/items", "api.test", opaque), 200, ""},
		{"the same token, another requirement", about("POST", "/items", "api.test", read), 403, "insufficient_scope"},
		{"the same opaque token, another requirement", about("POST", "/items", "api.test", opaque), 403, "insufficient_scope"},
		{"no token", about("GET", "/items", "api.test", ""), 401, "no_token"},
		{"token in the query", about("GET", "/items?access_token="+read, "api.test", ""), 401, "no_token"},
		{"both", about("GET", "/items?access_token="+read, "api.test", read), 400, "invalid_request"},
		{"no route", about("GET", "/other", "api.test", read), 403, "forbidden"},
		{"no method", about("PUT", "/items", "api.test", read), 405, "method_not_allowed"},
		{"dot segments", about("GET", "/a/../items", "api.test", read), 400, "invalid_request"},
		{"two slashes", about("GET", "//items", "api.test", read), 400, "invalid_request"},
		{"encoded", about("GET", "/%69tems", "api.test", read), 400, "invalid_request"},
		{"fragment", about("GET", "/admin#", "www.test", ""), 400, "invalid_request"},
		{"not encoded", about("GET", "/items/\xc3\xa4", "api.test", read), 400, "invalid_request"},
		{"absolute", about("GET", "http://api.test/items", "api.test", read), 400, "invalid_request"},
		{"no URI", about("GET", "", "api.test", read), 400, "invalid_request"},
		{"no path", about("GET", "items", "api.test", read), 400, "invalid_request"},
		{"no method header", http.Header{"X-Forwarded-Uri": {"/items"}}, 400, "invalid_request"},
		{"two of them", http.Header{"X-Forwarded-Uri": {"/items", "/open"}, "X-Forwarded-Method": {"GET"}}, 400, "invalid_request"},
		{"anybody", about("GET", "/x", "www.test", ""), 200, ""},
		{"anybody again", about("GET", "/y", "www.test", ""), 200, ""},
		{"too often", about("GET", "/z", "www.test", ""), 429, "too_many_requests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(gateway.AuthorizePath+"/whatever", tt.header)
			if got.status != tt.status {
				t.Fatalf("%d %v %s", got.status, got.header, got.body)
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Request-Id") == "" {
				t.Errorf("%v", got.header)
			}
			known := tt.status == 200 && strings.Contains(tt.header.Get("Authorization"), "Bearer")
			if (got.header.Get("X-Client-Id") == "cl_a") != known || known && (got.header.Get("X-Client-Scope") != "inventory:read" || got.header.Get("X-Client-Issuer") != issuer.URL()) {
				t.Errorf("%v", got.header)
			}
			if tt.status != 200 && got.problem(t).Code != tt.code {
				t.Errorf("%s", got.body)
			}
			if (tt.status == 401) != (got.header.Get("WWW-Authenticate") != "") && tt.status != 403 && tt.status != 400 {
				t.Errorf("%v", got.header)
			}
		})
	}
	if got := ask("/elsewhere", about("GET", "/items", "api.test", read)); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
}

// A decision that was made before is made again without asking anybody, and not any more once the token is revoked.
func TestDecisionsAreRememberedUntilARevocation(t *testing.T) {
	ask, issuer := authority(t)
	token := issuer.MintOpaque(sdktest.Claims{ClientID: "cl_a", Audience: []string{api}, Scopes: []string{"inventory:read"}})
	for range 100 {
		if got := ask(gateway.AuthorizePath, about("GET", "/items", "api.test", token)); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if n := issuer.Requests(sdktest.IntrospectionEndpoint); n != 1 {
		t.Errorf("%d introspections, want 1", n)
	}
	issuer.Revoke(token)
	const bound = time.Second
	revoked := time.Now()
	await(t, "refusal", func() bool {
		return ask(gateway.AuthorizePath, about("GET", "/items", "api.test", token)).status == http.StatusUnauthorized
	})
	if took := time.Since(revoked); took > 2*bound {
		t.Errorf("refused after %v", took)
	}
}
