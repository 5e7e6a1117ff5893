package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk/sdktest"
)

// Each route takes the tokens of its own issuer, whatever the audience, and goes on while the other issuer is down: what docs/sizing.md has
// deployments rely on that are larger than one database.
func TestSeveralIssuers(t *testing.T) {
	t.Parallel()
	issuers := map[string]*sdktest.Issuer{"eu": sdktest.Start(t), "us": sdktest.Start(t)}
	upstream := httptest.NewServer(http.HandlerFunc(tell))
	t.Cleanup(upstream.Close)
	settings := func(of string) string {
		i := issuers[of]
		return of + ": {url: \"" + i.URL() + "\", client_id: " + i.ClientID() + ", client_secret: " + i.ClientSecret() + "}"
	}
	g := newGateway(t, `
issuers: {`+settings("eu")+`, `+settings("us")+`}
pools: {echo: {targets: [{url: "`+upstream.URL+`"}]}}
routes:
  - {name: eu, match: {hosts: [eu.api.test], prefix: /}, authentication: introspect, issuer: eu, audience: `+api+`, pool: echo}
  - {name: us, match: {hosts: [us.api.test], prefix: /}, authentication: introspect, issuer: us, audience: `+api+`, pool: echo}
`)
	edge := &httpx.Edge{Log: newLog(t), Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	server := httptest.NewServer(edge.Wrap(g))
	t.Cleanup(server.Close)
	status := func(route, token string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = route + ".api.test"
		r.Header = bearing(token)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	tokens := map[string][]string{}
	for name, issuer := range issuers {
		tokens[name] = []string{issuer.Token(api), issuer.MintOpaque(sdktest.Claims{Audience: []string{api}})}
	}
	for route := range issuers {
		for name, kinds := range tokens {
			want := http.StatusUnauthorized
			if name == route {
				want = http.StatusOK
			}
			for n, token := range kinds {
				if got := status(route, token); got != want {
					t.Errorf("token %d of %s on a route of %s: %d, not %d", n, name, route, got, want)
				}
			}
		}
	}
	issuers["us"].Down(true)
	if got := status("eu", issuers["eu"].MintOpaque(sdktest.Claims{Audience: []string{api}})); got != http.StatusOK {
		t.Errorf("a new token of the issuer that is up: %d", got)
	}
}
