package proof_test

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

func TestAssertion(t *testing.T) {
	for algorithm, key := range everyKey(t) {
		t.Run(string(algorithm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				token, err := key.Assertion(`cl_"1`, "https://auth.test/tenant")
				if err != nil {
					t.Fatal(err)
				}
				header, claims := read(t, token, public(t, key))
				if want := (jose.Header{Algorithm: algorithm, KeyID: key.ID(), Type: "client-authentication+jwt"}); header != want {
					t.Errorf("header %+v", header)
				}
				now := float64(time.Now().Unix())
				want := map[string]any{"iss": `cl_"1`, "sub": `cl_"1`, "aud": "https://auth.test/tenant", "iat": now, "exp": now + 60}
				wantClaims(t, claims, want, "jti")
			})
		})
	}
}

// wantClaims compares all claims but those that are named, which are 128 random bits.
func wantClaims(t *testing.T, claims, want map[string]any, random string) {
	t.Helper()
	if jti, _ := claims[random].(string); len(jti) != 22 {
		t.Errorf("%s is %v", random, claims[random])
	}
	if len(claims) != len(want)+1 {
		t.Errorf("claims %v", claims)
	}
	for name, value := range want {
		if claims[name] != value {
			t.Errorf("%s is %v, want %v", name, claims[name], value)
		}
	}
}

func TestEveryAssertionIsAnotherOne(t *testing.T) {
	key, seen := newKey(t, newEd25519(t), proof.KeyOptions{}), map[any]bool{}
	for range 100 {
		token, err := key.Assertion("cl_1", "https://auth.test")
		if err != nil {
			t.Fatal(err)
		}
		_, claims := read(t, token, public(t, key))
		seen[claims["jti"]] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100 differ", len(seen))
	}
}

func TestDPoP(t *testing.T) {
	const access = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU" // of RFC 9449 §7.1, its ath
	for algorithm, key := range everyKey(t) {
		t.Run(string(algorithm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, err := url.Parse("https://user:word@API.test:8443/a%2Fb/%C3%BC?q=1#f")
				if err != nil {
					t.Fatal(err)
				}
				token, err := key.DPoP(proof.Use{Method: "PATCH", URL: u, AccessToken: access, Nonce: "n-1"})
				if err != nil {
					t.Fatal(err)
				}
				header, claims := read(t, token, public(t, key))
				if want := (jose.Header{Algorithm: algorithm, Type: "dpop+jwt"}); header != want {
					t.Errorf("header %+v", header)
				}
				wantClaims(t, claims, map[string]any{
					"htm": "PATCH", "htu": "https://API.test:8443/a%2Fb/%C3%BC", "iat": float64(time.Now().Unix()), "nonce": "n-1",
					"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
				}, "jti")
			})
		})
	}
}

func TestDPoPHeader(t *testing.T) {
	key := newKey(t, newP256(t), proof.KeyOptions{ID: "mine"})
	token, err := key.DPoP(proof.Use{Method: "GET", URL: &url.URL{Scheme: "https", Host: "api.test"}})
	if err != nil {
		t.Fatal(err)
	}
	_, claims := read(t, token, public(t, key))
	wantClaims(t, claims, map[string]any{"htm": "GET", "htu": "https://api.test/", "iat": claims["iat"]}, "jti")
	jwk, err := jose.PublicJWK(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(token, ".")
	if want := encode([]byte(`{"typ":"dpop+jwt","alg":"ES256","jwk":` + string(jwk) + `}`)); head != want {
		t.Errorf("header %s, want %s", head, want)
	}
	for _, use := range []proof.Use{{}, {Method: "GET"}, {Method: "GET", URL: &url.URL{Path: "/"}}, {URL: &url.URL{Scheme: "https", Host: "x"}}} {
		if _, err := key.DPoP(use); err == nil {
			t.Errorf("a proof for %+v", use)
		}
	}
}

// What is beside the cost of the signature alone.
func BenchmarkAssertion(b *testing.B) {
	u := &url.URL{Scheme: "https", Host: "api.test", Path: "/orders"}
	for algorithm, key := range everyKey(b) {
		public := public(b, key)
		for name, sign := range map[string]func() (string, error){
			"bare":      func() (string, error) { return public.Sign(key.Signer(), algorithm, nil, nil) },
			"assertion": func() (string, error) { return key.Assertion("cl_1", "https://auth.test") },
			"proof":     func() (string, error) { return key.DPoP(proof.Use{Method: "GET", URL: u, AccessToken: "token"}) },
		} {
			b.Run(string(algorithm)+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := sign(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
