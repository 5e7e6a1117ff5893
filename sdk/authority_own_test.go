package sdk_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

// keyed is a service whose client has a key and no secret.
func keyed(t *testing.T, issuer *sdktest.Issuer, log *bytes.Buffer) (*service, *proof.Key) {
	t.Helper()
	key, err := proof.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	issuer.AddKey(issuer.ClientID(), key.PublicJWK())
	return serviceOf(t, issuer,
		sdk.WithCredentials(issuer.ClientID(), sdk.PrivateKey(key)), sdk.WithLogger(slog.New(slog.NewTextHandler(log, nil)))), key
}

// ways counts the requests to what a verifier asks, by how they were admitted.
func ways(t *testing.T, issuer *sdktest.Issuer) (tokens, assertions int) {
	t.Helper()
	for _, at := range []sdktest.Endpoint{sdktest.FeedPoll, sdktest.FeedStream, sdktest.IntrospectionEndpoint} {
		for _, r := range issuer.Log(at) {
			switch bearer := strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "); {
			case bearer == r.Form.Has("client_assertion"):
				t.Errorf("%s is asked by both ways, or by none: %v", at, r.Form)
			case bearer:
				tokens++
			default:
				assertions++
			}
		}
	}
	return tokens, assertions
}

// A verifier that authenticates by assertions makes one for its token, and none for each of its polls.
func TestVerifierOfAKeyAsksByToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, log := sdktest.New(sdktest.WithLifetime(time.Hour)), &bytes.Buffer{}
		s, _ := keyed(t, issuer, log)
		for range 60 {
			time.Sleep(time.Minute)
			if _, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); err != nil {
				t.Fatal(err)
			}
		}
		tokens, assertions := ways(t, issuer)
		if n := issuer.Requests(sdktest.TokenEndpoint); n != 2 || assertions != 0 || tokens < 1000 {
			t.Errorf("%d tokens for %d requests by token and %d by assertion", n, tokens, assertions)
		}
		for _, r := range issuer.Log(sdktest.TokenEndpoint) {
			if r.Form.Get("resource") != "urn:countersign:server" || r.Form.Has("scope") {
				t.Errorf("asked for %v", r.Form)
			}
		}
		if log.Len() > 0 {
			t.Errorf("logged %s", log)
		}
	})
}

func TestVerifierOfAKeyWhoseTokenIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		s, key := keyed(t, issuer, &bytes.Buffer{})
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		issuer.RevokeClient(issuer.ClientID())
		time.Sleep(time.Second)
		if err := s.Ready(t.Context()); err != nil || issuer.Requests(sdktest.TokenEndpoint) != 2 {
			t.Errorf("%d tokens, %v", issuer.Requests(sdktest.TokenEndpoint), err)
		}
		issuer.RotateSecret(issuer.ClientID(), "none of its keys is left")
		issuer.RevokeClient(issuer.ClientID())
		time.Sleep(5 * time.Second)
		_, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{})
		if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "the server does not know client") {
			t.Errorf("a client that is gone: %v", err)
		}
		if _, assertions := ways(t, issuer); assertions != 0 {
			t.Errorf("%d assertions of a client that the server does not know", assertions)
		}
		issuer.AddKey(issuer.ClientID(), key.PublicJWK())
		time.Sleep(time.Minute)
		if _, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); err != nil {
			t.Errorf("a client that is back: %v", err)
		}
	})
}

func TestVerifierOfAKeyThatGetsNoToken(t *testing.T) {
	for _, code := range []string{"invalid_target", "invalid_dpop_proof"} {
		synctest.Test(t, func(t *testing.T) {
			issuer, log := sdktest.New(), &bytes.Buffer{}
			issuer.Fail(sdktest.Failure{Status: http.StatusBadRequest, Code: code}, sdktest.TokenEndpoint)
			s, _ := keyed(t, issuer, log)
			for range 60 {
				time.Sleep(time.Second)
				if _, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); err != nil {
					t.Fatal(err)
				}
			}
			if n := issuer.Requests(sdktest.TokenEndpoint); n > 10 || strings.Count(log.String(), "asked with an assertion each time") != 1 {
				t.Errorf("%d requests for a token, logged %s", n, log)
			}
			issuer.Heal(sdktest.TokenEndpoint)
			time.Sleep(time.Minute)
			_, before := ways(t, issuer)
			time.Sleep(time.Minute)
			if tokens, assertions := ways(t, issuer); tokens == 0 || assertions != before {
				t.Errorf("%d by token, %d by assertion", tokens, assertions-before)
			}
		})
	}
}

// While no token can be had, the one that is held does.
func TestVerifierOfAKeyWhileNoTokensAreIssued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithLifetime(time.Hour))
		s, _ := keyed(t, issuer, &bytes.Buffer{})
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		issuer.Fail(sdktest.Failure{Status: http.StatusServiceUnavailable}, sdktest.TokenEndpoint)
		time.Sleep(55 * time.Minute)
		if _, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		_, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{})
		if _, assertions := ways(t, issuer); !errors.Is(err, sdk.ErrUnavailable) || assertions != 0 {
			t.Errorf("%v, %d assertions", err, assertions)
		}
	})
}

// Other issuers know of no such token.
func TestVerifierOfAKeyAtAForeignIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithoutFeed())
		s, _ := keyed(t, issuer, &bytes.Buffer{})
		for range 3 {
			if _, err := s.Verify(t.Context(), issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}); err != nil {
				t.Fatal(err)
			}
		}
		if tokens, assertions := ways(t, issuer); tokens != 0 || assertions != 3 || issuer.Requests(sdktest.TokenEndpoint) != 0 {
			t.Errorf("%d by token, %d by assertion", tokens, assertions)
		}
	})
}
