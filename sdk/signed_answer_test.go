package sdk_test

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

func TestSignedIntrospection(t *testing.T) {
	for _, algorithm := range []sdktest.Algorithm{sdktest.ES256, sdktest.RS256, sdktest.PS256, sdktest.EdDSA} {
		t.Run("I15 "+string(algorithm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(sdktest.WithAlgorithm(algorithm)), sdk.WithSignedIntrospection(), sdk.WithoutRevocation())
				good, dead := s.issuer.MintOpaque(sdktest.Claims{}), s.issuer.MintOpaque(sdktest.Claims{})
				s.issuer.Revoke(dead)
				s.expect(t, "good", "ok", good, sdk.Policy{})
				s.expect(t, "inactive", "401", dead, sdk.Policy{})
				s.expect(t, "a JWT that is confirmed", "ok", s.issuer.Mint(sdktest.Claims{}), sdk.Policy{Mode: sdk.Strict})
				for _, sent := range s.issuer.Log(sdktest.IntrospectionEndpoint) {
					if got := sent.Header["Accept"]; len(got) != 1 || got[0] != "application/token-introspection+jwt" {
						t.Errorf("asked for %q", got)
					}
				}
				if n := s.issuer.Requests(sdktest.IntrospectionEndpoint); n != 3 {
					t.Errorf("%d introspections", n)
				}
			})
		})
	}
}

// Whoever stands between verifier and issuer can keep an answer away, and nothing more.
func TestSignedAnswersThatAreNotBelieved(t *testing.T) {
	type forgery struct {
		name          string
		claims        map[string]any // over those of a good answer; nil: left out
		header        map[string]any
		key           func(*sdktest.Issuer) *sdktest.Key // nil: the issuer's
		media         string
		change        func(string) string
		want, because string
	}
	published := func(i *sdktest.Issuer) *sdktest.Key { return i.Key() }
	for _, tt := range []forgery{
		{name: "none at all", want: "ok"},
		{name: "typ as a media type", header: map[string]any{"typ": "application/Token-Introspection+JWT"}, want: "ok"},
		{name: "an audience among others", claims: map[string]any{"aud": []string{"other"}}, want: "ok"},
		{name: "iat within the leeway", claims: map[string]any{"iat": now - 60}, want: "ok"},
		{name: "plain JSON", media: "application/json", change: func(string) string { return `{"active":true,"client_id":"a"}` }, because: "not signed"},
		{name: "plain JSON in its media type", change: func(string) string { return `{"active":true,"client_id":"a"}` }, because: "malformed token"},
		{name: "attack 17 an access token", header: map[string]any{"typ": "at+jwt"}, because: "typ is not"},
		{name: "typ JWT", header: map[string]any{"typ": "JWT"}, because: "typ is not"},
		{name: "no typ", header: map[string]any{"typ": nil}, because: "typ is not"},
		{name: "attack 1 alg none", header: map[string]any{"alg": "none"}, because: "algorithm"},
		{name: "another issuer", claims: map[string]any{"iss": "https://evil.test"}, because: "iss is another"},
		{name: "no issuer", claims: map[string]any{"iss": nil}, because: "iss is another"},
		{name: "another client", claims: map[string]any{"aud": "other"}, because: "aud is not"},
		{name: "no audience", claims: map[string]any{"aud": nil}, because: "aud is not"},
		{name: "an old answer", claims: map[string]any{"iat": now - 62}, because: "before the question"},
		{name: "no iat", claims: map[string]any{"iat": nil}, because: "before the question"},
		{name: "in the future", claims: map[string]any{"iat": now + 61}, because: "in the future"},
		{name: "iat as a text", claims: map[string]any{"iat": "now"}, because: "iat"},
		{name: "no answer in it", claims: map[string]any{"token_introspection": nil}, because: "no token_introspection"},
		{name: "the answer beside it", claims: map[string]any{"token_introspection": nil, "active": true, "client_id": "a"}, because: "no token_introspection"},
		{name: "the answer is a text", claims: map[string]any{"token_introspection": `{"active":true}`}, because: "read introspection answer"},
		{name: "about another token", claims: map[string]any{"token_introspection": map[string]any{
			"active": true, "client_id": "a", "aud": api, "jti": "0000000000000000000000",
		}}, because: "another token"},
		{
			name: "a key that is not published", key: func(*sdktest.Issuer) *sdktest.Key { return sdktest.NewKey(sdktest.ES256, "") },
			because: "unknown key",
		},
		{
			name: "another key under the published id", key: func(i *sdktest.Issuer) *sdktest.Key { return sdktest.NewKey(sdktest.ES256, i.Key().ID()) },
			because: "signature does not verify",
		},
		{name: "no signature", change: func(s string) string { return s[:strings.LastIndex(s, ".")+1] }, because: "no signature"},
		{name: "four parts", change: func(s string) string { return s + "." }, because: "malformed token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, sdk.WithSignedIntrospection())
				id := "00000000000000000000AB"
				token := s.issuer.MintOpaque(sdktest.Claims{TokenID: id})
				claims := map[string]any{
					"iss": s.issuer.URL(), "aud": s.issuer.ClientID(), "iat": time.Now().Unix(),
					"token_introspection": map[string]any{"active": true, "client_id": "a", "aud": api, "jti": id},
					"sub":                 nil, "client_id": nil, "exp": nil, "jti": nil, "cs_rev": nil, "cs_sec": nil,
				}
				maps.Copy(claims, tt.claims)
				if others, ok := claims["aud"].([]string); ok {
					claims["aud"] = append(others, s.issuer.ClientID())
				}
				header := map[string]any{"typ": "token-introspection+jwt"}
				maps.Copy(header, tt.header)
				if tt.key == nil {
					tt.key = published
				}
				s.issuer.Replace(sdktest.IntrospectionEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					text := s.issuer.Mint(sdktest.Claims{Header: header, Members: claims, Key: tt.key(s.issuer)})
					if tt.change != nil {
						text = tt.change(text)
					}
					media := tt.media
					if media == "" {
						media = "application/token-introspection+jwt"
					}
					w.Header().Set("Content-Type", media)
					_, _ = io.WriteString(w, text)
				}))
				want := tt.want
				if want == "" {
					want = "503"
				}
				s.expect(t, "opaque", want, token, sdk.Policy{})
				_, err := s.Verify(t.Context(), token, sdk.Policy{})
				if tt.because != "" && (err == nil || !strings.Contains(err.Error(), tt.because)) {
					t.Errorf("got %v, want %q", err, tt.because)
				}
				if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "eyJ")) {
					t.Errorf("the error tells what is secret: %v", err)
				}
			})
		})
	}
}

// A signed answer as an access token is refused by its typ, be its claims ever so good.
func TestSignedAnswerAsAccessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		header := map[string]any{"typ": "token-introspection+jwt"}
		s.expect(t, "attack 17", "401", s.issuer.Mint(sdktest.Claims{Header: header}), sdk.Policy{})
		legacy := newService(t, sdk.WithLegacyTokens())
		legacy.expect(t, "attack 17, legacy", "401", legacy.issuer.Mint(sdktest.Claims{Header: header}), sdk.Policy{})
		legacy.expect(t, "attack 17, legacy, by its member", "401", legacy.issuer.Mint(sdktest.Claims{
			Header: map[string]any{"typ": "JWT"}, Members: map[string]any{"token_introspection": map[string]any{"active": true}},
		}), sdk.Policy{})
	})
}
