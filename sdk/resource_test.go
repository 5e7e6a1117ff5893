package sdk_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"testing"

	"github.com/countersign/countersign/sdk"
)

func TestResourceMetadata(t *testing.T) {
	for _, tt := range []struct {
		name  string
		about sdk.Resource
		opts  []sdk.VerifierOption
		want  string
	}{
		{
			name: "M13: what the verifier knows",
			want: `{"resource":"https://api.example.com/inventory","authorization_servers":["https://auth.example.com"],"bearer_methods_supported":["header"],"dpop_signing_alg_values_supported":["ES256","RS256","PS256","EdDSA"]}`,
		},
		{
			name: "all",
			about: sdk.Resource{
				Name: "Inventory", Scopes: []string{"inventory:read", "inventory:write"}, Documentation: "https://docs.example.com",
				Policy: "https://example.com/policy", TermsOfService: "https://example.com/terms",
				ClientCertificates: true,
			},
			want: `{"resource":"https://api.example.com/inventory","authorization_servers":["https://auth.example.com"],` +
				`"scopes_supported":["inventory:read","inventory:write"],"bearer_methods_supported":["header"],"resource_name":"Inventory",` +
				`"resource_documentation":"https://docs.example.com","resource_policy_uri":"https://example.com/policy","resource_tos_uri":"https://example.com/terms",` +
				`"tls_client_certificate_bound_access_tokens":true,"dpop_signing_alg_values_supported":["ES256","RS256","PS256","EdDSA"]}`,
		},
		{
			name: "M13: bound tokens alone",
			opts: []sdk.VerifierOption{sdk.WithBoundTokensOnly()},
			want: `{"resource":"https://api.example.com/inventory","authorization_servers":["https://auth.example.com"],"bearer_methods_supported":["header"],` +
				`"dpop_signing_alg_values_supported":["ES256","RS256","PS256","EdDSA"],"dpop_bound_access_tokens_required":true}`,
		},
		{
			name: "M13: bound tokens alone, also to certificates that a proxy sees",
			opts: []sdk.VerifierOption{sdk.WithBoundTokensOnly(), sdk.WithClientCertFrom(netip.MustParsePrefix("10.0.0.0/8"))},
			want: `{"resource":"https://api.example.com/inventory","authorization_servers":["https://auth.example.com"],"bearer_methods_supported":["header"],` +
				`"tls_client_certificate_bound_access_tokens":true,"dpop_signing_alg_values_supported":["ES256","RS256","PS256","EdDSA"]}`,
		},
		{
			name:  "further issuers",
			about: sdk.Resource{Issuers: []string{"https://other.example.com"}},
			want: `{"resource":"https://api.example.com/inventory","authorization_servers":["https://auth.example.com","https://other.example.com"],` +
				`"bearer_methods_supported":["header"],"dpop_signing_alg_values_supported":["ES256","RS256","PS256","EdDSA"]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			verifier, err := sdk.NewVerifier("https://auth.example.com", "https://api.example.com/inventory", tt.opts...)
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			mux.Handle(verifier.ResourceMetadataPath(), verifier.ResourceMetadata(tt.about))
			address := serve(t, mux) + "/.well-known/oauth-protected-resource/inventory"

			resp, body := call(t, http.MethodGet, address, nil, "")
			if resp.StatusCode != http.StatusOK || body != tt.want || !json.Valid([]byte(body)) {
				t.Errorf("%d %s, want %s", resp.StatusCode, body, tt.want)
			}
			for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			head, body := call(t, http.MethodHead, address, nil, "")
			if head.StatusCode != http.StatusOK || body != "" || head.ContentLength != int64(len(tt.want)) {
				t.Errorf("HEAD: %d, %d bytes of %d", head.StatusCode, len(body), head.ContentLength)
			}
			post, _ := call(t, http.MethodPost, address, nil, "")
			if post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("POST: %d %v", post.StatusCode, post.Header)
			}
		})
	}
}

func TestForResource(t *testing.T) {
	verifier, err := sdk.NewVerifier("https://auth.example.com", "https://api.example.com/inventory")
	if err != nil {
		t.Fatal(err)
	}
	const address = "https://api.example.com/.well-known/oauth-protected-resource/orders"
	orders, err := verifier.ForResource("https://api.example.com/orders", address)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := orders.Refusal(sdk.ErrNoToken).Challenge, `Bearer realm="https://api.example.com/orders", resource_metadata="`+address+`"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if orders.ResourceMetadataPath() != "/.well-known/oauth-protected-resource/orders" {
		t.Errorf("the metadata is at %s", orders.ResourceMetadataPath())
	}
	for audience, address := range map[string]string{"": address, "a": "http://api.example.com/m", "b": "/m", "c": `https://api.example.com/"`} {
		if _, err := verifier.ForResource(audience, address); err == nil {
			t.Errorf("%q at %q is taken", audience, address)
		}
	}
}

func TestResourceMetadataPath(t *testing.T) {
	for _, tt := range []struct{ audience, want string }{
		{"https://api.example.com", "/.well-known/oauth-protected-resource"},
		{"https://api.example.com/", "/.well-known/oauth-protected-resource"},
		{"https://api.example.com:8443/inventory", "/.well-known/oauth-protected-resource/inventory"},
		{"https://api.example.com/a/b/", "/.well-known/oauth-protected-resource/a/b/"},
		{"https://api.example.com/a%2Fb?c=d", "/.well-known/oauth-protected-resource/a%2Fb"},
		{"urn:example:inventory", "/.well-known/oauth-protected-resource"},
	} {
		t.Run(tt.audience, func(t *testing.T) {
			verifier, err := sdk.NewVerifier("https://auth.example.com", tt.audience)
			if err != nil {
				t.Fatal(err)
			}
			if got := verifier.ResourceMetadataPath(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
