package server_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/server"
	"github.com/countersign/countersign/server/auth"
)

func TestMetadata(t *testing.T) {
	w := newWorld(t)
	methods := []any{"client_secret_basic", "client_secret_post", "private_key_jwt", "spiffe_jwt"}
	algorithms := []any{"ES256", "RS256", "PS256", "EdDSA"}
	want := map[string]any{
		"issuer":                                                   issuer,
		"token_endpoint":                                           issuer + "/oauth2/token",
		"token_endpoint_auth_methods_supported":                    methods,
		"grant_types_supported":                                    []any{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
		"dpop_signing_alg_values_supported":                        algorithms,
		"token_endpoint_auth_signing_alg_values_supported":         algorithms,
		"introspection_endpoint_auth_signing_alg_values_supported": algorithms,
		"revocation_endpoint_auth_signing_alg_values_supported":    algorithms,
		"response_types_supported":                                 []any{"none"},
		"jwks_uri":                                                 issuer + "/oauth2/jwks",
		"introspection_endpoint":                                   issuer + "/oauth2/introspect",
		"introspection_endpoint_auth_methods_supported":            append(methods, "Bearer"),
		"introspection_signing_alg_values_supported":               algorithms,
		"revocation_endpoint":                                      issuer + "/oauth2/revoke",
		"revocation_endpoint_auth_methods_supported":               methods,
		"countersign_revocation_endpoint":                          issuer + "/oauth2/revocations",
		"service_documentation":                                    "https://github.com/countersign/countersign/blob/main/docs/endpoints.md",
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		t.Run("M01 M03 M04 M05 M06 M14 "+path, func(t *testing.T) {
			got := w.send(http.MethodGet, path, "")
			var members map[string]any
			if err := json.Unmarshal([]byte(got.body), &members); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, members); diff != "" {
				t.Error(diff)
			}
			if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %v", got.status, got.header)
			}
		})
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/oauth2/jwks"} {
		t.Run("M08 M12 "+path, func(t *testing.T) {
			got := w.send(http.MethodGet, path, "")
			etag := got.header.Get("ETag")
			if got.header.Get("Cache-Control") != "public, max-age=300" || len(etag) < 10 {
				t.Errorf("got %v", got.header)
			}
			for _, condition := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
				again := w.send(http.MethodGet, path, "", with("If-None-Match", condition))
				if again.status != http.StatusNotModified || again.body != "" || again.header.Get("ETag") != etag {
					t.Errorf("%s: got %d %q", condition, again.status, again.body)
				}
			}
			if other := w.send(http.MethodGet, path, "", with("If-None-Match", `"other"`)); other.status != http.StatusOK || other.body != got.body {
				t.Errorf("got %d", other.status)
			}
			if head := w.send(http.MethodHead, path, ""); head.status != http.StatusOK || head.body != "" || head.header.Get("ETag") != etag {
				t.Errorf("HEAD: got %d %v", head.status, head.header)
			}
		})
	}
}

// Services that read the token store learn its keys here, new ones too while the server runs.
func TestTokenStoreKeysInMetadata(t *testing.T) {
	w := newWorld(t)
	metadata := func() answer { return w.send(http.MethodGet, "/.well-known/oauth-authorization-server", "") }
	without := metadata()
	if keys := without.member(t, "countersign_token_store_keys"); keys != nil {
		t.Errorf("got %v, want no member", keys)
	}
	key := func(b byte) ed25519.PublicKey { return bytes.Repeat([]byte{b}, ed25519.PublicKeySize) }
	w.storeKeys.Store(&map[uint32]ed25519.PublicKey{10: key(0xff), 2: key(0)})
	got := metadata()
	want := []any{
		map[string]any{"version": 2.0, "key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		map[string]any{"version": 10.0, "key": "__________________________________________8"},
	}
	if diff := cmp.Diff(want, got.member(t, "countersign_token_store_keys")); diff != "" {
		t.Error(diff)
	}
	again := w.send(http.MethodGet, "/.well-known/oauth-authorization-server", "", with("If-None-Match", without.header.Get("ETag")))
	if again.status != http.StatusOK || again.body != got.body {
		t.Errorf("a caller that has the metadata without keys got %d", again.status)
	}
}

func TestIssuerWithPath(t *testing.T) {
	const issuer = "https://id.test/tenant/one"
	w := newWorldAt(t, issuer, nil)
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/tenant/one", "/.well-known/openid-configuration/tenant/one",
		"/tenant/one/.well-known/openid-configuration",
	} {
		t.Run("M02 "+path, func(t *testing.T) {
			got := w.send(http.MethodGet, path, "")
			if got.status != http.StatusOK || got.member(t, "issuer") != issuer || got.member(t, "token_endpoint") != issuer+"/oauth2/token" {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	accepted(t, w.post("/tenant/one/oauth2/token", grant, basic(w.caller)))
	for _, path := range []string{"/oauth2/token", "/.well-known/oauth-authorization-server"} {
		if got := w.post(path, grant, basic(w.caller)); got.status != http.StatusNotFound {
			t.Errorf("%s: got %d", path, got.status)
		}
	}
}

func TestIssuersThatAreNone(t *testing.T) {
	for _, issuer := range []string{
		"", "id.test", "ftp://id.test", "https://", "https://id.test?a=b", "https://id.test/#a", "https://user@id.test", "https://id.test/%61", "https://id.test?", "://",
	} {
		if _, err := server.New(server.Config{Issuer: issuer}); err == nil {
			t.Errorf("%q is taken", issuer)
		}
	}
}

func TestKeySet(t *testing.T) {
	w := newWorld(t)
	got := w.send(http.MethodGet, "/oauth2/jwks", "")
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal([]byte(got.body), &set); err != nil {
		t.Fatal(err)
	}
	t.Run("M07 public signing keys only", func(t *testing.T) {
		seen := map[string]bool{}
		for _, key := range set.Keys {
			if key["use"] != "sig" || key["alg"] == "" || key["kty"] == "oct" || key["kid"] == "" || seen[key["kid"]] {
				t.Errorf("got %v", key)
			}
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "oth"} {
				if key[private] != "" {
					t.Errorf("%s is published", private)
				}
			}
			seen[key["kid"]] = true
		}
		if len(set.Keys) < 2 {
			t.Errorf("got %s", got.body)
		}
	})
	t.Run("M10 media type", func(t *testing.T) {
		if got.header.Get("Content-Type") != "application/jwk-set+json" {
			t.Errorf("got %v", got.header)
		}
	})
}

func TestJWT(t *testing.T) {
	w := newWorld(t)
	parse := func(t *testing.T, token string) (header, claims map[string]any, signature []byte) {
		t.Helper()
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			t.Fatalf("got %d parts", len(parts))
		}
		for i, into := range []*map[string]any{&header, &claims} {
			raw, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, into); err != nil {
				t.Fatal(err)
			}
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		return header, claims, signature
	}
	for _, tt := range []struct{ api, alg string }{{jwtAPI, "ES256"}, {eddsaAPI, "EdDSA"}} {
		header, claims, signature := parse(t, w.issue(w.caller, tt.api, ""))
		t.Run("J01 J07 header "+tt.alg, func(t *testing.T) {
			kid, _ := header["kid"].(string)
			if header["typ"] != "at+jwt" || header["alg"] != tt.alg || len(header) != 3 {
				t.Errorf("got %v", header)
			}
			if set := w.send(http.MethodGet, "/oauth2/jwks", "").body; kid == "" || !strings.Contains(set, `"kid":"`+kid+`"`) {
				t.Errorf("key %s is not in %s", kid, set)
			}
		})
		t.Run("J02 J03 J05 J06 J09 T39 claims "+tt.alg, func(t *testing.T) {
			exp, _ := claims["exp"].(float64)
			iat, _ := claims["iat"].(float64)
			jti, _ := claims["jti"].(string)
			rev, _ := claims["cs_rev"].(float64)
			if exp-iat != w.apis[tt.api].Lifetime.Seconds() || time.Since(time.Unix(int64(iat), 0)).Abs() > time.Minute || len(jti) != 22 || rev <= 0 {
				t.Errorf("got %v", claims)
			}
			for _, varying := range []string{"exp", "iat", "jti", "cs_rev"} {
				delete(claims, varying)
			}
			want := map[string]any{
				"iss": issuer, "aud": tt.api, "sub": w.caller.id.String(), "client_id": w.caller.id.String(),
				"scope": "read write", "cs_sec": w.caller.key.String(),
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Error(diff)
			}
		})
		t.Run("J08 raw signature "+tt.alg, func(t *testing.T) {
			if len(signature) != 64 {
				t.Errorf("%d bytes", len(signature))
			}
		})
		t.Run("J10 subjects are client ids "+tt.alg, func(t *testing.T) {
			if subject, _ := claims["sub"].(string); !strings.HasPrefix(subject, "cl_") {
				t.Errorf("got %v", claims["sub"])
			}
		})
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	admin := func(path string) answer {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("X-Request-Id", requestID)
		w.admin.ServeHTTP(rec, r)
		return answer{rec.Code, rec.Result().Header, rec.Body.String()}
	}
	public := func(path string) answer { return w.send(http.MethodGet, path, "") }
	for name, get := range map[string]func(string) answer{"public": public, "admin": admin} {
		for path, want := range map[string]string{"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`} {
			if got := get(path); got.status != http.StatusOK || strings.TrimSpace(got.body) != want || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: got %d %s", name, path, got.status, got.body)
			}
		}
	}
	w.unready.Store(true)
	for name, get := range map[string]func(string) answer{"public": public, "admin": admin} {
		t.Run("H12 not ready, "+name, func(t *testing.T) {
			got := get("/readyz")
			if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
				t.Errorf("got %d %v", got.status, got.header)
			}
			golden(t, got)
			if alive := get("/healthz"); alive.status != http.StatusOK {
				t.Errorf("got %d", alive.status)
			}
		})
	}
	w.unready.Store(false)
	w.server.Drain()
	if got := public("/readyz"); got.status != http.StatusServiceUnavailable {
		t.Errorf("draining: got %d", got.status)
	}
	accepted(t, w.post("/oauth2/token", grant, basic(w.caller)))
	t.Run("metrics are not public", func(t *testing.T) {
		if got := public("/metrics"); got.status != http.StatusNotFound {
			t.Errorf("got %d", got.status)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		w.post("/oauth2/token", grant)
		got := admin("/metrics")
		for _, line := range []string{
			`countersign_http_requests_total{endpoint="token",outcome="ok"} 1`,
			`countersign_http_requests_total{endpoint="token",outcome="invalid_client"} 1`,
			`countersign_http_request_duration_seconds_count{endpoint="token"} 2`,
			`countersign_http_requests_in_flight{endpoint="token"} 0`,
		} {
			if !strings.Contains(got.body, line+"\n") {
				t.Errorf("%s is missing in\n%s", line, got.body)
			}
		}
	})
	t.Run("admin speaks problem documents", func(t *testing.T) {
		got := admin("/nothing")
		if got.status != http.StatusNotFound || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("got %d %v", got.status, got.header)
		}
		golden(t, got)
	})
}

func TestFeedAccess(t *testing.T) {
	w := newWorld(t)
	read := func(changes ...change) answer { return w.send(http.MethodGet, "/oauth2/revocations", "", changes...) }
	for name, change := range map[string]change{
		"a client that serves an API":                          basic(w.resource),
		"a holder of the scope":                                basic(w.trusted),
		"a token without scope of a client that serves an API": with("Authorization", "Bearer "+w.issue(w.resource, auth.ServerAPI, "")),
		"a bearer token that has the scope":                    with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, "revocations:read")),
	} {
		t.Run(name, func(t *testing.T) {
			if got := read(change); got.status != http.StatusOK || got.member(t, "entries") == nil {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	for _, tt := range []struct {
		name string
		with []change
		want refusal
	}{
		{"nobody", nil, refusal{401, "invalid_client"}},
		{"a client that serves nothing", []change{basic(w.caller)}, refusal{403, "insufficient_scope"}},
		{"a bearer token without the scope", []change{with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, "revoke:all"))}, refusal{403, "insufficient_scope"}},
		{"a bad cursor", []change{basic(w.resource), func(r *http.Request) { r.URL.RawQuery = "after=x" }}, refusal{400, "invalid_request"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := read(tt.with...)
			refused(t, got, tt.want)
			golden(t, got)
		})
	}
}

// A stream ends once whoever opened it may not read any more.
func TestFeedStreamEndsWithTheRight(t *testing.T) {
	for name, take := range map[string]func(w *world) error{
		"client disabled": func(w *world) error {
			return second(w.registry.SetClientStatus(w.Context(), tester(), w.resource.id, auth.Disabled))
		},
		"secret disabled": func(w *world) error {
			return second(w.registry.DisableSecret(w.Context(), tester(), w.resource.key, false))
		},
		"serves no API more": func(w *world) error {
			for _, api := range []string{jwtAPI, opaqueAPI} {
				if err := second(w.registry.SetServer(w.Context(), tester(), w.apis[api].ID, w.resource.id, false)); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			body := w.stream(basic(w.resource))
			w.check(take(w))
			w.ends(body)
		})
	}
	t.Run("serves no API more, by a bearer token", func(t *testing.T) {
		w := newWorld(t)
		body := w.stream(with("Authorization", "Bearer "+w.issue(w.resource, auth.ServerAPI, "")))
		for _, api := range []string{jwtAPI, opaqueAPI} {
			w.check(second(w.registry.SetServer(w.Context(), tester(), w.apis[api].ID, w.resource.id, false)))
		}
		w.ends(body)
	})
	t.Run("bearer token revoked", func(t *testing.T) {
		w := newWorld(t)
		token := w.issue(w.trusted, auth.ServerAPI, "revocations:read")
		body := w.stream(with("Authorization", "Bearer "+token))
		if got := w.revoke(w.trusted, token); got.status != http.StatusOK {
			t.Fatal(got)
		}
		w.ends(body)
	})
}

func (w *world) stream(change change) io.ReadCloser {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	w.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.public.URL+"/oauth2/revocations", nil)
	w.check(err)
	r.Header.Set("Accept", "text/event-stream")
	change(r)
	response, err := w.public.Client().Do(r)
	w.check(err)
	w.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		w.Fatalf("got %d", response.StatusCode)
	}
	return response.Body
}

// ends waits until the stream is closed by the server.
func (w *world) ends(body io.Reader) {
	w.Helper()
	if _, err := io.Copy(io.Discard, body); err != nil {
		w.Errorf("the stream was not ended: %v", err)
	}
}
