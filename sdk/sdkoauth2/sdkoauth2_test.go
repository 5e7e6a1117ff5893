package sdkoauth2_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkoauth2"
	"github.com/countersign/countersign/sdk/sdktest"
)

func newSource(t *testing.T, issuer *sdktest.Issuer) *sdk.TokenSource {
	t.Helper()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client.TokenSource("https://inventory.test", "read")
}

func TestTokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(t, sdktest.New(sdktest.WithLifetime(100*time.Second)))
		adapted := sdkoauth2.TokenSource(t.Context(), src)
		token, err := adapted.Token()
		if err != nil {
			t.Fatal(err)
		}
		held, err := src.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if token.AccessToken != held.AccessToken() || token.Type() != "Bearer" || !token.Expiry.Equal(held.Expires()) || !token.Valid() {
			t.Errorf("not the token that the source has: type %s, expiry %v", token.Type(), token.Expiry)
		}
		r := httptest.NewRequest("GET", "/", nil)
		token.SetAuthHeader(r)
		if r.Header.Get("Authorization") != "Bearer "+held.AccessToken() {
			t.Error("the header has another token")
		}
		time.Sleep(90 * time.Second)
		if _, err := adapted.Token(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if next, err := adapted.Token(); err != nil || next.AccessToken == token.AccessToken {
			t.Errorf("error %v, or a stale token that was not replaced", err)
		}
	})
}

func TestTokenSource_ContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		issuer.Slow(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := sdkoauth2.TokenSource(ctx, newSource(t, issuer)).Token()
		if !errors.Is(err, sdk.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want ErrUnavailable and DeadlineExceeded", err)
		}
	})
}

// Libraries of oauth2 would send a bound token without a proof.
func TestTokenSource_BoundTokensAreRefused(t *testing.T) {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()), sdk.WithDPoP(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if token, err := sdkoauth2.TokenSource(t.Context(), client.TokenSource("https://inventory.test")).Token(); err == nil || token != nil ||
		!strings.Contains(err.Error(), "DPoP") {
		t.Errorf("got %v", err)
	}
}
