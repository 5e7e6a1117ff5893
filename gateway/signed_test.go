package gateway_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

// An issuer with signed_introspection is asked for signed answers, and a plain one is not believed.
func TestSignedIntrospection(t *testing.T) {
	issuer := sdktest.Start(t, sdktest.WithOpaqueTokens())
	g := newGateway(t, "issuers: {main: {url: "+issuer.URL()+", client_id: "+issuer.ClientID()+", client_secret: "+issuer.ClientSecret()+", signed_introspection: true}}\n"+
		"routes: [{name: r, match: {prefix: /}, authentication: introspect, audience: \""+api+"\", pool: echo}]")
	address := &url.URL{Scheme: "https", Host: "api.test", Path: "/"}
	explained := func() int {
		return g.Explain(t.Context(), http.MethodGet, address, issuer.Token(api)).Status
	}
	if got := explained(); got != http.StatusOK {
		t.Errorf("a signed answer: %d", got)
	}
	for _, asked := range issuer.Log(sdktest.IntrospectionEndpoint) {
		if accept := asked.Header["Accept"]; !slices.Equal(accept, []string{"application/token-introspection+jwt"}) {
			t.Errorf("asked for %q", accept)
		}
	}
	issuer.Replace(sdktest.IntrospectionEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"active":true,"client_id":"orders","aud":"` + api + `"}`))
	}))
	if got := explained(); got != http.StatusServiceUnavailable {
		t.Errorf("a plain answer: %d", got)
	}
}
