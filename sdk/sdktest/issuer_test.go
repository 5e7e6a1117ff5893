package sdktest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

// do sends a request with the credentials of the issuer's own client and returns status and body.
func do(t testing.TB, i *sdktest.Issuer, method, address string, form url.Values) (int, string, http.Header) {
	t.Helper()
	resp, err := try(t.Context(), i, method, address, form)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the answer of %s: %v", address, err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func try(ctx context.Context, i *sdktest.Issuer, method, address string, form url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.SetBasicAuth(url.QueryEscape(i.ClientID()), url.QueryEscape(i.ClientSecret()))
	return i.Client().Do(req)
}

func members(t testing.TB, body string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("the answer %q is no JSON object: %v", body, err)
	}
	return m
}

// newIssuers returns an issuer of either make.
func newIssuers(t *testing.T, opts ...sdktest.Option) map[string]*sdktest.Issuer {
	return map[string]*sdktest.Issuer{"in memory": sdktest.New(opts...), "on loopback": sdktest.Start(t, opts...)}
}

func TestMetadata(t *testing.T) {
	for name, i := range newIssuers(t, sdktest.WithPath("/tenant")) {
		t.Run(name, func(t *testing.T) {
			origin := strings.TrimSuffix(i.URL(), "/tenant")
			status, body, header := do(t, i, http.MethodGet, origin+"/.well-known/oauth-authorization-server/tenant", nil)
			m := members(t, body)
			if status != 200 || m["issuer"] != i.URL() || m["token_endpoint"] != i.URL()+"/oauth2/token" {
				t.Errorf("metadata is %d %s", status, body)
			}
			if got := header.Get("Cache-Control"); got != "public, max-age=300" {
				t.Errorf("Cache-Control is %q", got)
			}
		})
	}
}

func TestTokenAndIntrospection(t *testing.T) {
	for name, i := range newIssuers(t) {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"grant_type": {"client_credentials"}, "resource": {"https://inventory.test"}, "scope": {"read write"}}
			status, body, _ := do(t, i, http.MethodPost, i.URL()+"/oauth2/token", form)
			m := members(t, body)
			if status != 200 || m["token_type"] != "Bearer" || m["expires_in"] != 3600.0 || m["scope"] != "read write" {
				t.Fatalf("token answer is %d %s", status, body)
			}
			token, _ := m["access_token"].(string)
			_, body, _ = do(t, i, http.MethodPost, i.URL()+"/oauth2/introspect", url.Values{"token": {token}})
			if m := members(t, body); m["active"] != true || m["aud"] != "https://inventory.test" || m["client_id"] != i.ClientID() {
				t.Errorf("introspection says %s", body)
			}
			i.Revoke(token)
			_, body, _ = do(t, i, http.MethodPost, i.URL()+"/oauth2/introspect", url.Values{"token": {token}})
			if body != `{"active":false}` {
				t.Errorf("introspection of a revoked token says %s", body)
			}
			if got := i.Requests(sdktest.IntrospectionEndpoint); got != 2 {
				t.Errorf("%d introspections were counted, want 2", got)
			}
		})
	}
}
