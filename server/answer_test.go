package server_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/server/auth"
)

const (
	jsonType   = "application/json"
	signedType = "application/token-introspection+jwt"
)

// ask introspects with this Accept header, none if it is empty.
func (w *world) ask(c credential, token string, accept ...string) answer {
	w.Helper()
	return w.post("/oauth2/introspect", url.Values{"token": {token}}.Encode(), basic(c), with("Accept", accept...))
}

// signed checks an answer's header and signature, and returns its `alg` and claims.
func (w *world) signed(got answer) (alg string, claims map[string]any) {
	w.Helper()
	if got.status != http.StatusOK || got.header.Get("Content-Type") != signedType {
		w.Fatalf("got %d %v %s", got.status, got.header, got.body)
	}
	parsed, err := jose.Parse(got.body)
	w.check(err)
	set, _, err := jose.ParseKeySet([]byte(w.send(http.MethodGet, "/oauth2/jwks", "").body))
	w.check(err)
	key := set[slices.IndexFunc(set, func(k *jose.Key) bool { return k.ID() == parsed.Header.KeyID })]
	w.check(parsed.Verify(key))
	if parsed.Header.Type != "token-introspection+jwt" {
		w.Errorf("typ is %q", parsed.Header.Type)
	}
	w.check(json.Unmarshal(parsed.Payload, &claims))
	return string(parsed.Header.Algorithm), claims
}

func TestSignedIntrospection(t *testing.T) {
	w := newWorld(t)
	w.check(second(w.registry.SetServer(t.Context(), tester(), w.apis[eddsaAPI].ID, w.resource.id, true)))
	w.reached()
	for api, alg := range map[string]string{jwtAPI: "ES256", eddsaAPI: "EdDSA", opaqueAPI: "ES256"} {
		t.Run("I15 active token of "+api, func(t *testing.T) {
			token := w.issue(w.caller, api, "read")
			got, plain := w.ask(w.resource, token, signedType), w.ask(w.resource, token)
			by, claims := w.signed(got)
			if by != alg {
				t.Errorf("signed by %s, want %s", by, alg)
			}
			if members := slices.Sorted(maps.Keys(claims)); !slices.Equal(members, []string{"aud", "iat", "iss", "token_introspection"}) {
				t.Errorf("top-level members %q", members)
			}
			iat, _ := claims["iat"].(float64)
			if claims["iss"] != issuer || claims["aud"] != w.resource.id.String() || time.Since(time.Unix(int64(iat), 0)).Abs() > time.Minute {
				t.Errorf("got %v", claims)
			}
			var want map[string]any
			w.check(json.Unmarshal([]byte(plain.body), &want))
			inner, _ := claims["token_introspection"].(map[string]any)
			for _, moment := range []string{"countersign_max_age_ms", "countersign_rev"} {
				if inner[moment] == nil {
					t.Errorf("no %s", moment)
				}
				delete(inner, moment)
				delete(want, moment)
			}
			if diff := cmp.Diff(want, inner); diff != "" {
				t.Error(diff)
			}
			if control := got.header.Get("Cache-Control"); !strings.HasPrefix(control, "private, max-age=") || got.header.Get("Vary") != "Accept" {
				t.Errorf("Cache-Control %q, Vary %q", control, got.header.Get("Vary"))
			}
		})
	}
	token := w.issue(w.caller, jwtAPI, "")
	for name, got := range map[string]answer{
		"garbage":         w.ask(w.resource, "garbage", signedType),
		"another API's":   w.ask(w.stranger, token, signedType),
		"a signed answer": w.ask(w.resource, w.ask(w.resource, token, signedType).body, signedType),
	} {
		t.Run("I15 inactive: "+name, func(t *testing.T) {
			alg, claims := w.signed(got)
			if diff := cmp.Diff(map[string]any{"active": false}, claims["token_introspection"]); diff != "" || alg != "ES256" || len(claims) != 4 {
				t.Errorf("%s, %s", alg, diff)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("got %v", got.header)
			}
		})
	}
	t.Run("I15 the audience is the client of a bearer token", func(t *testing.T) {
		bearer := with("Authorization", "Bearer "+w.issue(w.trusted, auth.ServerAPI, "introspect:all"))
		_, claims := w.signed(w.post("/oauth2/introspect", "token="+token, bearer, with("Accept", signedType)))
		if claims["aud"] != w.trusted.id.String() {
			t.Errorf("got %v", claims["aud"])
		}
	})
	t.Run("I15 errors are JSON", func(t *testing.T) {
		refused(t, w.ask(credential{id: w.resource.id, secret: w.caller.secret}, token, signedType), refusal{401, "invalid_client"})
	})
}

func TestIntrospectionNegotiation(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		want   string
		accept []string
	}{
		{jsonType, nil},
		{jsonType, []string{""}},
		{jsonType, []string{"application/json"}},
		{jsonType, []string{"*/*"}},
		{jsonType, []string{"application/*"}},
		{jsonType, []string{"text/html"}},
		{jsonType, []string{"application/jwt"}},
		{jsonType, []string{"application/token-introspection+jwt;q=0"}},
		{jsonType, []string{"application/token-introspection+jwt;q=0.5, application/json"}},
		{jsonType, []string{"application/token-introspection+jwt;q=0.5, */*"}},
		{jsonType, []string{"application/token-introspection+jwt;q=0.5, application/*;q=0.6"}},
		{jsonType, []string{"application/token-introspection+jwt;q=NaN"}},
		{jsonType, []string{"application/token-introspection+jwt;q=2"}},
		{jsonType, []string{"application/token-introspection+jwt;q="}},
		{signedType, []string{"application/token-introspection+jwt"}},
		{signedType, []string{"Application/Token-Introspection+JWT"}},
		{signedType, []string{"application/json, application/token-introspection+jwt"}},
		{signedType, []string{"application/json;q=0.9", "application/token-introspection+jwt"}},
		{signedType, []string{"application/token-introspection+jwt, */*"}},
		{signedType, []string{"application/json ; charset=utf-8 ; Q=0.3 , application/token-introspection+jwt ; q=0.4"}},
		{signedType, []string{"*/*, application/token-introspection+jwt;q=0.5, application/json;q=0.1"}},
		{signedType, []string{"application/token-introspection+jwt;q=0.001, application/json;q=0"}},
	} {
		t.Run("I16 "+strings.Join(tt.accept, " | "), func(t *testing.T) {
			got := w.ask(w.resource, "garbage", tt.accept...)
			if got.status != http.StatusOK || got.header.Get("Content-Type") != tt.want || got.header.Get("Vary") != "Accept" {
				t.Errorf("got %d %v, want %s", got.status, got.header, tt.want)
			}
		})
	}
}
