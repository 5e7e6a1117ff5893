package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

const signedAnswer = "application/token-introspection+jwt"

// introspectAs is introspect with an Accept header.
func introspectAs(ctx context.Context, s *serverProcess, c credential, token, accept string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/oauth2/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", accept)
	request.SetBasicAuth(c.ID, c.Secret)
	return do(request)
}

// What one instance says of a token that the other issued is signed by a key that both publish.
func TestSignedIntrospectionByTwoInstances(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			p := startPair(t, kind)
			for _, audience := range []string{jwtAPI, opaqueAPI} {
				presented := token(t, p.one.URL, p.Caller, asking(audience, "read"))
				t.Run("I15 "+audience, func(t *testing.T) {
					inner := p.signedAnswer(t, presented)
					if inner["active"] != true || inner["client_id"] != p.Caller.ID || inner["aud"] != audience {
						t.Errorf("got %v", inner)
					}
				})
				t.Run("I16 "+audience, func(t *testing.T) {
					got, err := introspectAs(t.Context(), p.other, p.Server, presented, "application/json")
					if err != nil || got.JSON["active"] != true || got.Header.Get("Content-Type") != "application/json" {
						t.Errorf("got %s, %v", got.Body, err)
					}
				})
				revoke(t, p.one.URL, p.Caller, presented)
				t.Run("I15 revoked, "+audience, func(t *testing.T) {
					testbed.Wait(t, promptly, func() error {
						if inner := p.signedAnswer(t, presented); inner["active"] != false || len(inner) != 1 {
							return fmt.Errorf("got %v", inner)
						}
						return nil
					})
				})
			}
		})
	}
}

// signedAnswer is what the other instance says of a token, checked by the keys of the first.
func (p *pair) signedAnswer(t *testing.T, presented string) map[string]any {
	t.Helper()
	got, err := introspectAs(t.Context(), p.other, p.Server, presented, signedAnswer)
	if err == nil && got.Header.Get("Content-Type") != signedAnswer {
		err = fmt.Errorf("got %d %v", got.Status, got.Header)
	}
	if err := errors.Join(err, checkES256(string(got.Body), jwks(t, p.one))); err != nil {
		t.Fatal(err)
	}
	header, claims := jwtPart(t, string(got.Body), 0), jwtPart(t, string(got.Body), 1)
	if header["typ"] != "token-introspection+jwt" || claims["iss"] != sharedIssuer || claims["aud"] != p.Server.ID || claims["iat"] == nil || len(claims) != 4 {
		t.Errorf("got %v, %v", header, claims)
	}
	inner, _ := claims["token_introspection"].(map[string]any)
	return inner
}
