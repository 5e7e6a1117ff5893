package sdk_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

type notIssuer struct {
	name  string
	wrong func(*sdktest.Issuer)
}

// notIssuers are the ways in which an issuer may be mistyped.
func notIssuers() []notIssuer {
	return []notIssuer{
		{"metadata of another issuer", func(i *sdktest.Issuer) { i.WrongIssuer("https://other.test") }},
		{"404 everywhere", func(i *sdktest.Issuer) { i.Replace(sdktest.MetadataEndpoint, http.NotFoundHandler()) }},
		{"pages", func(i *sdktest.Issuer) { i.Replace(sdktest.MetadataEndpoint, answers(http.StatusOK, "<html>")) }},
		{"redirects", func(i *sdktest.Issuer) {
			i.Replace(sdktest.MetadataEndpoint, http.RedirectHandler("/login", http.StatusFound))
		}},
	}
}

func TestTokenSource_NotTheIssuerIsToldAtOnce(t *testing.T) {
	for _, tt := range notIssuers() {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				tt.wrong(issuer)
				client := newClient(t, issuer, nil)
				source := client.TokenSource(warehouse)
				began := time.Now()
				for range 20 {
					_, err := source.Token(t.Context())
					if !errors.Is(err, sdk.ErrNotIssuer) || !errors.Is(err, sdk.ErrUnavailable) || time.Since(began) != 0 {
						t.Fatalf("error %v after %v", err, time.Since(began))
					}
				}
				if n := issuer.Requests(sdktest.MetadataEndpoint); n != 2 { // that of OAuth and that of OpenID Connect
					t.Errorf("%d requests for metadata, want 2: the refusal is remembered", n)
				}
				if err := client.Revoke(t.Context(), "presented"); !errors.Is(err, sdk.ErrNotIssuer) {
					t.Errorf("Revoke: %v", err)
				}
				issuer.Heal()
				time.Sleep(time.Second)
				tokenOf(t, source)
			})
		})
	}
}

// A server that had metadata once is not taken for another one because of what a broken proxy says.
func TestTokenSource_TheIssuerStaysTheIssuer(t *testing.T) {
	for _, tt := range notIssuers() {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				source := newClient(t, issuer, nil).TokenSource(warehouse)
				tokenOf(t, source)
				tt.wrong(issuer)
				for range 5 {
					time.Sleep(time.Hour)
					tokenOf(t, source)
				}
			})
		})
	}
}

func TestVerifier_NotTheIssuerIs503(t *testing.T) {
	for _, tt := range notIssuers() {
		t.Run(tt.name, func(t *testing.T) {
			for name, opts := range map[string][]sdk.VerifierOption{
				"with revocation": nil, "without": {sdk.WithoutRevocation()},
			} {
				synctest.Test(t, func(t *testing.T) {
					issuer := sdktest.New()
					jwt, opaque := issuer.Mint(sdktest.Claims{}), issuer.MintOpaque(sdktest.Claims{})
					tt.wrong(issuer)
					v := serviceOf(t, issuer, opts...)
					for _, token := range []string{jwt, opaque} {
						_, err := v.Verify(t.Context(), token, sdk.Policy{})
						if !errors.Is(err, sdk.ErrNotIssuer) || outcome(err) != "503" {
							t.Errorf("%s: %v", name, err)
						}
						answer := httptest.NewRecorder()
						v.Reject(answer, httptest.NewRequest(http.MethodGet, "/", nil), err)
						if answer.Code != http.StatusServiceUnavailable {
							t.Errorf("%s: answered %d", name, answer.Code)
						}
					}
					if err := v.Ready(t.Context()); name == "with revocation" && !errors.Is(err, sdk.ErrNotIssuer) {
						t.Errorf("%s: ready: %v", name, err)
					}
				})
			}
		})
	}
}
