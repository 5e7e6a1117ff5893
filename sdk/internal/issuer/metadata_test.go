package issuer_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

func metadata(identifier string) string {
	return fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, identifier, strings.TrimRight(identifier, "/")+"/token")
}

func TestMetadataIsSoughtWhereTheStandardsPutIt(t *testing.T) {
	for _, tt := range []struct {
		name, identifier, at string
		asked                int
	}{
		{"root", "https://a.example", "https://a.example/.well-known/oauth-authorization-server", 1},
		{"root with slash", "https://a.example/", "https://a.example/.well-known/oauth-authorization-server", 1},
		{"path is put behind", "https://a.example/t/1", "https://a.example/.well-known/oauth-authorization-server/t/1", 1},
		{"path with slash", "https://a.example/t/", "https://a.example/.well-known/oauth-authorization-server/t", 1},
		{"escaped path", "https://a.example/t%2F1", "https://a.example/.well-known/oauth-authorization-server/t%2F1", 1},
		{"OpenID, root", "https://a.example", "https://a.example/.well-known/openid-configuration", 2},
		{"OpenID, path behind", "https://a.example/t", "https://a.example/.well-known/openid-configuration/t", 2},
		{"OpenID, path before", "https://a.example/t", "https://a.example/t/.well-known/openid-configuration", 3},
		{"nowhere", "https://a.example/t", "", 3},
		{"nowhere, root", "https://a.example", "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, n := open(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != tt.at {
					say(w, http.StatusNotFound, "<html>")
					return
				}
				say(w, http.StatusOK, metadata(tt.identifier))
			}, func(c *issuer.Config) { c.Identifier = tt.identifier })
			m, err := i.Metadata(t.Context())
			if tt.at == "" {
				check(t, err, "answers 404")
			} else if err != nil || m.Issuer != tt.identifier {
				t.Errorf("got %+v, %v", m, err)
			}
			if n.count() != tt.asked {
				t.Errorf("asked %q, want %d", n.asked, tt.asked)
			}
		})
	}
}

func TestMetadataOfAnotherIssuerIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, says string }{
		{"trailing slash", identifier + "/"},
		{"case", "https://Auth.example.com"},
		{"scheme", "http://auth.example.com"},
		{"default port", identifier + ":443"},
		{"another", "https://evil.example"},
		{"longer", identifier + ".evil.example"},
		{"none", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, _ := open(t, func(w http.ResponseWriter, _ *http.Request) {
				say(w, http.StatusOK, metadata(tt.says))
			}, nil)
			_, err := i.Metadata(t.Context())
			check(t, err, "equal byte for byte")
			contains(t, err.Error(), fmt.Sprintf("%q", tt.says), fmt.Sprintf("%q", identifier))
		})
	}
}

func TestParseMetadata(t *testing.T) {
	const base = `"issuer":"https://auth.example.com"`
	for _, tt := range []struct{ name, text, want string }{
		{"least", `{` + base + `}`, ""},
		{"null members", `{` + base + `,"jwks_uri":null,"token_endpoint_auth_methods_supported":null}`, ""},
		{"strangers", `{` + base + `,"acr":{"a":[1,{"b":null}]},"Token_Endpoint":"http://evil.example"}`, ""},
		{"query in an endpoint", `{` + base + `,"token_endpoint":"https://auth.example.com/t?v=2"}`, ""},
		{"endpoint elsewhere", `{` + base + `,"jwks_uri":"https://keys.example/set"}`, ""},
		{"attack 32 keys by http", `{` + base + `,"jwks_uri":"http://auth.example.com/jwks"}`, "jwks_uri"},
		{"attack 32 keys by http on this machine", `{` + base + `,"jwks_uri":"http://localhost/jwks"}`, "must use https as the issuer does"},
		{"token endpoint by http", `{` + base + `,"token_endpoint":"http://auth.example.com/t"}`, "must use https"},
		{"introspection with a user", `{` + base + `,"introspection_endpoint":"https://a:b@auth.example.com/i"}`, "introspection_endpoint"},
		{"relative", `{` + base + `,"revocation_endpoint":"/revoke"}`, "revocation_endpoint"},
		{"fragment in the feed", `{` + base + `,"countersign_revocation_endpoint":"https://auth.example.com/f#x"}`, "fragment"},
		{"attack 14 issuer twice", `{` + base + `,` + base + `}`, "same name"},
		{"number", `{` + base + `,"token_endpoint":1}`, "token_endpoint"},
		{"methods of another kind", `{` + base + `,"token_endpoint_auth_methods_supported":[1]}`, "token_endpoint_auth_methods_supported"},
		{"text behind", `{` + base + `}{}`, "not strict JSON"},
		{"page", `<html>`, "not strict JSON"},
		{"empty", ``, "not strict JSON"},
		{"attack 35 deep", `{` + base + `,"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := issuer.ParseMetadata([]byte(tt.text), identifier)
			check(t, err, tt.want)
		})
	}
}

func TestMetadataOfCountersign(t *testing.T) {
	key := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	m, err := issuer.ParseMetadata([]byte(`{"issuer":"http://127.0.0.1:1","token_endpoint":"http://127.0.0.1:1/t",
		"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],
		"introspection_endpoint":"http://127.0.0.1:1/i","introspection_endpoint_auth_methods_supported":["client_secret_basic","Bearer"],
		"revocation_endpoint":"http://127.0.0.1:1/r","revocation_endpoint_auth_methods_supported":["client_secret_post"],
		"jwks_uri":"http://127.0.0.1:1/j","countersign_revocation_endpoint":"http://127.0.0.1:1/f","countersign_token_store_keys":[
		{"version":1,"key":"`+key+`"},{"version":0,"key":"`+key+`"},{"version":2,"key":"short"},{"version":3,"key":"`+key+`="},
		{"version":1,"key":"`+strings.Replace(key, "A", "B", 1)+`"},7,{"version":4294967296,"key":"`+key+`"},{"version":9,"key":"`+key+`","use":1}]}`),
		"http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if m.TokenEndpoint != "http://127.0.0.1:1/t" || m.IntrospectionEndpoint != "http://127.0.0.1:1/i" ||
		m.RevocationEndpoint != "http://127.0.0.1:1/r" || m.JWKSURI != "http://127.0.0.1:1/j" || m.RevocationFeed != "http://127.0.0.1:1/f" {
		t.Errorf("endpoints: %+v", m)
	}
	if len(m.TokenMethods) != 2 || !slices.Contains(m.IntrospectionMethods, "Bearer") || m.RevocationMethods[0] != "client_secret_post" {
		t.Errorf("methods: %+v", m)
	}
	if len(m.StoreKeys) != 2 || m.StoreKeys[0].Version != 1 || m.StoreKeys[0].Key[0] != 0 || m.StoreKeys[1].Version != 9 {
		t.Errorf("store keys: %+v", m.StoreKeys)
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(metadata(identifier)))
	f.Add([]byte(`{"issuer":"https://auth.example.com","jwks_uri":"http://evil.example","countersign_token_store_keys":[{"version":1,"key":""}]}`))
	f.Add([]byte(`{"issuer":"https:\/\/auth.example.com","token_endpoint":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := issuer.ParseMetadata(text, identifier)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d characters", len(err.Error()))
			}
			return
		}
		if m.Issuer != identifier {
			t.Errorf("issuer %q was taken", m.Issuer)
		}
		for _, endpoint := range []string{m.TokenEndpoint, m.IntrospectionEndpoint, m.RevocationEndpoint, m.JWKSURI, m.RevocationFeed} {
			if endpoint != "" && !strings.HasPrefix(strings.ToLower(endpoint), "https://") {
				t.Errorf("endpoint %q was taken", endpoint)
			}
		}
	})
}
