package sdkgin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A group and a route within it have guards: the proof is one for both.
func TestBoundTokens(t *testing.T) {
	issuer := sdktest.New(sdktest.WithDefaults(inventory, "inventory:read", "inventory:write"))
	t.Cleanup(issuer.Close)
	verifier, err := sdk.NewVerifier(issuer.URL(), inventory, sdk.WithHTTPClient(issuer.Client()),
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())), sdk.WithDPoPNonces([]byte(strings.Repeat("k", 32))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = verifier.Close() })
	key, err := proof.GenerateKey(jose.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	router, token := newRouter(verifier), issuer.Mint(sdktest.Claims{Members: map[string]any{"cnf": map[string]any{"jkt": key.Thumbprint()}}})
	send := func(nonce string) *httptest.ResponseRecorder {
		u := &url.URL{Scheme: "http", Host: "items.test", Path: "/items/7"}
		text, err := key.DPoP(proof.Use{Method: http.MethodPost, URL: u, AccessToken: token, Nonce: nonce})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, u.String(), nil)
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", text)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		return w
	}
	w := send("")
	nonce := w.Header().Get("DPoP-Nonce")
	if w.Code != http.StatusUnauthorized || nonce == "" || len(w.Header()["Www-Authenticate"]) != 2 {
		t.Fatalf("D13: %d, %v", w.Code, w.Header())
	}
	if w = send(nonce); w.Code != http.StatusOK || w.Body.String() != issuer.ClientID()+"7" || w.Header().Get("DPoP-Nonce") == "" {
		t.Errorf("D01: %d, %s, %v", w.Code, w.Body, w.Header())
	}
}
