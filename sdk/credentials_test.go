package sdk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// blamesUs fails unless err says that it is for lack of credentials that the server is not asked, and says nothing of the server.
func blamesUs(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, sdk.ErrCredentials) || !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "no client credentials: ") ||
		strings.Contains(err.Error(), "unavailable") || strings.Contains(err.Error(), "https://issuer.test") {
		t.Errorf("%s: %v", what, err)
	}
}

func TestSecretFileThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, path := sdktest.New(), filepath.Join(t.TempDir(), "secret")
		source := newClient(t, issuer, sdk.SecretFile(path)).TokenSource(warehouse)
		began := time.Now()
		err := source.Ready(t.Context())
		blamesUs(t, "token", err)
		if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "no client credentials: read client secret: ") || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if n := issuer.Requests(sdktest.TokenEndpoint); n != 0 {
			t.Errorf("%d requests without credentials", n)
		}

		s := serviceOf(t, issuer, sdk.WithCredentials(issuer.ClientID(), sdk.SecretFile(path)))
		blamesUs(t, "ready", s.Ready(t.Context()))
		for name, token := range map[string]string{"opaque": issuer.MintOpaque(sdktest.Claims{}), "JWT": issuer.Mint(sdktest.Claims{})} {
			_, err := s.Verify(t.Context(), token, sdk.Policy{})
			blamesUs(t, name, err)
			if refusal := s.Refusal(err); refusal.Status != 503 || strings.Contains(refusal.Detail, "credentials") {
				t.Errorf("%s: callers are answered %+v", name, refusal)
			}
		}
		if told := s.Describe().Revocations.LastError; !strings.Contains(told, "no client credentials: read client secret: ") {
			t.Errorf("described: %s", told)
		}

		writeSecret(t, path, issuer.ClientSecret())
		time.Sleep(time.Minute)
		tokenOf(t, source)
		s.expect(t, "with a secret", "ok", issuer.MintOpaque(sdktest.Claims{}), sdk.Policy{}.Strict())
	})
}

// sealed is a vault that has no credentials for a while.
type sealed struct {
	sdk.ClientAuth
	until time.Time
}

func (s sealed) Authenticate(ctx context.Context, r *sdk.AuthRequest) error {
	if time.Now().Before(s.until) {
		return errors.New("the vault is sealed")
	}
	return s.ClientAuth.Authenticate(ctx, r)
}

// Credentials of another kind may come from somewhere that is down: callers wait for them as for the server.
func TestCredentialsThatCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		for _, tt := range []struct {
			name   string
			sealed time.Duration
			ok     bool
		}{{"soon", 5 * time.Second, true}, {"late", time.Minute, false}} {
			source := newClient(t, issuer, sealed{sdk.Secret(issuer.ClientSecret()), time.Now().Add(tt.sealed)}).TokenSource(warehouse)
			err := source.Ready(t.Context())
			if tt.ok && err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if !tt.ok {
				blamesUs(t, tt.name, err)
			}
		}
	})
}

func TestVerifierWithoutCredentialsIsNotTheServersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		v, err := sdk.NewVerifier(issuer.URL(), api, sdk.WithHTTPClient(issuer.Client()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		_, err = v.Verify(t.Context(), issuer.Mint(sdktest.Claims{}), sdk.Policy{})
		if !errors.Is(err, sdk.ErrCredentials) || strings.Contains(err.Error(), "unavailable") || !strings.Contains(err.Error(), "no client credentials were given; give WithCredentials") {
			t.Errorf("%v", err)
		}
	})
}
