package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

const warehouse = "https://warehouse.test"

// newClient returns a client of an issuer in memory, for the issuer's own client unless auth is given.
func newClient(t testing.TB, issuer *sdktest.Issuer, auth sdk.ClientAuth, opts ...sdk.ClientOption) *sdk.Client {
	t.Helper()
	if auth == nil {
		auth = sdk.Secret(issuer.ClientSecret())
	}
	opts = append([]sdk.ClientOption{sdk.WithHTTPClient(issuer.Client())}, opts...)
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), auth, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func tokenOf(t testing.TB, s *sdk.TokenSource) *sdk.Token {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Errorf("Token: %v", err)
		return &sdk.Token{}
	}
	return token
}

func TestTokenSource_ManyGoroutinesStartingColdMakeOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		issuer.Slow(100 * time.Millisecond)
		client := newClient(t, issuer, nil)
		tokens := make([]*sdk.Token, 10_000)
		var all sync.WaitGroup
		for n := range tokens {
			all.Go(func() { tokens[n] = tokenOf(t, client.TokenSource(warehouse, "read", "write")) })
		}
		all.Wait()
		for _, token := range tokens {
			if token != tokens[0] || token == nil {
				t.Fatal("two tokens")
			}
		}
		if n, m := issuer.Requests(sdktest.TokenEndpoint), issuer.Requests(sdktest.MetadataEndpoint); n != 1 || m != 1 {
			t.Fatalf("%d requests for a token and %d for metadata, want 1 and 1", n, m)
		}
		form := issuer.Log(sdktest.TokenEndpoint)[0].Form
		if form.Get("resource") != warehouse || form.Get("scope") != "read write" {
			t.Errorf("asked for %v", form)
		}
		token := tokens[0]
		if scopes := strings.Join(token.Scopes(), " "); scopes != "read write" || token.Type() != "Bearer" {
			t.Errorf("scopes %q, type %q", scopes, token.Type())
		}
		if d := time.Until(token.Expires()); d != time.Hour-100*time.Millisecond {
			t.Errorf("expires in %v, want an hour from the start of the request", d)
		}
	})
}

func TestClient_OneSourcePerResourceAndScopes(t *testing.T) {
	client := newClient(t, sdktest.New(), nil)
	source := client.TokenSource(warehouse, "read", "write")
	for _, tt := range []struct {
		name     string
		resource string
		scopes   []string
		same     bool
	}{
		{"the same", warehouse, []string{"read", "write"}, true},
		{"another order", warehouse, []string{"write", "read"}, true},
		{"twice", warehouse, []string{"write", "read", "write"}, true},
		{"as one text", warehouse, []string{" read  write"}, true},
		{"fewer", warehouse, []string{"read"}, false},
		{"none", warehouse, nil, false},
		{"another resource", "", []string{"read", "write"}, false},
		{"what is put together alike", warehouse + " read", []string{"write"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if same := client.TokenSource(tt.resource, tt.scopes...) == source; same != tt.same {
				t.Errorf("the same source: %v, want %v", same, tt.same)
			}
		})
	}
}

func TestTokenSource_LifetimeThatIsNotSaidIs300s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		issuer.Alter(sdktest.TokenEndpoint, func(answer map[string]any) { delete(answer, "expires_in") })
		source := newClient(t, issuer, nil).TokenSource("")
		if d := time.Until(tokenOf(t, source).Expires()); d != 300*time.Second {
			t.Errorf("expires in %v, want 300 s", d)
		}
	})
}

func TestTokenSource_LifetimesOfNothingAreNoStorm(t *testing.T) {
	for _, life := range []any{0, -5, 1e-9, 0.001, 0.999, "0"} {
		t.Run(fmt.Sprint(life), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				issuer.Slow(time.Millisecond, sdktest.TokenEndpoint)
				issuer.Alter(sdktest.TokenEndpoint, func(answer map[string]any) { answer["expires_in"] = life })
				source := newClient(t, issuer, nil).TokenSource(warehouse)
				if _, err := source.Token(t.Context()); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "expires_in") {
					t.Errorf("error %v, want one about expires_in", err)
				}
				if n := issuer.Requests(sdktest.TokenEndpoint); n > 60 {
					t.Errorf("%d requests in 10 s", n)
				}
			})
		})
	}
}

func TestTokenSource_Outage60sWith5MinutesOfLife(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin time.Duration
	}{
		{"while fresh", 100 * time.Second},
		{"when stale", 235 * time.Second},
		{"over the end", 295 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New(sdktest.WithLifetime(5 * time.Minute))
				source := newClient(t, issuer, nil).TokenSource(warehouse)
				ctx, stop := context.WithCancel(t.Context())
				var callers sync.WaitGroup
				for range 100 {
					callers.Go(func() {
						for ctx.Err() == nil {
							tokenOf(t, source)
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				time.Sleep(tt.begin)
				issuer.Down(true)
				time.Sleep(60 * time.Second)
				tried, before := issuer.Refused(), issuer.Requests(sdktest.TokenEndpoint)
				issuer.Down(false)
				time.Sleep(30 * time.Second)
				if tried > 60 {
					t.Errorf("%d attempts in the outage", tried)
				}
				if n := issuer.Requests(sdktest.TokenEndpoint) - before; n > 1 {
					t.Errorf("%d requests in 30 s after the outage, want 1 at most", n)
				}
				stop()
				callers.Wait()
			})
		})
	}
}

func TestTokenSource_StartsDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		issuer.Down(true)
		source := newClient(t, issuer, nil).TokenSource(warehouse)
		time.AfterFunc(3*time.Second, func() { issuer.Down(false) })
		tokenOf(t, source)
	})
}

func TestTokenSource_Unavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		issuer.Fail(sdktest.Failure{Status: http.StatusServiceUnavailable, RetryAfter: 4 * time.Second}, sdktest.TokenEndpoint)
		client := newClient(t, issuer, nil, sdk.WithMaxWait(3*time.Second))
		_, err := client.TokenSource(warehouse).Token(t.Context())
		var e *sdk.TokenError
		if !errors.Is(err, sdk.ErrUnavailable) || !errors.As(err, &e) {
			t.Fatalf("error %v, want ErrUnavailable", err)
		}
		if e.Status != http.StatusServiceUnavailable || e.RetryAfter != 4*time.Second || e.Code != "" {
			t.Errorf("status %d, retry after %v, code %q", e.Status, e.RetryAfter, e.Code)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		issuer.Heal()
		issuer.Slow(2*time.Second, sdktest.TokenEndpoint)
		time.Sleep(5 * time.Second)
		if _, err := client.TokenSource(warehouse, "other").Token(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("error %v, want DeadlineExceeded and ErrUnavailable", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := client.TokenSource(warehouse, "third").Token(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("error %v, want Canceled and not ErrUnavailable", err)
		}
	})
}

func TestTokenSource_Refused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		code   string
		final  bool
	}{
		{"unknown client", http.StatusUnauthorized, "invalid_client", true},
		{"scope that is not granted", http.StatusBadRequest, "invalid_scope", true},
		{"resource that is not known", http.StatusBadRequest, "invalid_target", true},
		{"client that may not", http.StatusBadRequest, "unauthorized_client", true},
		{"a code that nobody knows", http.StatusBadRequest, "no_luck", true},
		{"not now", http.StatusBadRequest, "temporarily_unavailable", false},
		{"too many", http.StatusTooManyRequests, "slow_down", false},
		{"a broken server", http.StatusInternalServerError, "invalid_client", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				issuer.Fail(sdktest.Failure{Status: tt.status, Code: tt.code}, sdktest.TokenEndpoint)
				source := newClient(t, issuer, nil).TokenSource(warehouse)
				began := time.Now()
				_, err := source.Token(t.Context())
				var e *sdk.TokenError
				if !errors.As(err, &e) || e.Status != tt.status {
					t.Fatalf("error %v", err)
				}
				if final := time.Since(began) == 0; final != tt.final || errors.Is(err, sdk.ErrUnavailable) == tt.final {
					t.Errorf("at once: %v, want %v; error %v", final, tt.final, err)
				}
				if !tt.final {
					return
				}
				if e.Code != tt.code {
					t.Errorf("code %q, want %q", e.Code, tt.code)
				}
				issuer.Heal()
				if _, err := source.Token(t.Context()); !errors.As(err, &e) {
					t.Errorf("error %v, want the refusal remembered", err)
				}
				time.Sleep(time.Second)
				tokenOf(t, source)
			})
		})
	}
}

// A readiness probe finds out what would fail the first call, and costs nothing once there is a token.
func TestTokenSource_Ready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		client := newClient(t, issuer, nil)
		source := client.TokenSource(warehouse, "read")
		issuer.Fail(sdktest.Failure{Status: http.StatusBadRequest, Code: "invalid_scope"}, sdktest.TokenEndpoint)
		refused := (*sdk.TokenError)(nil)
		if err := source.Ready(t.Context()); !errors.As(err, &refused) || refused.Code != "invalid_scope" {
			t.Errorf("wrong scope: %v", err)
		}
		issuer.Heal()
		time.Sleep(time.Minute)
		for range 100 {
			if err := source.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := issuer.Requests(sdktest.TokenEndpoint); n != 2 {
			t.Errorf("%d requests for a token, want the refused one and another", n)
		}
		issuer.Down(true)
		if err := source.Ready(t.Context()); err != nil {
			t.Errorf("with a token at hand: %v", err)
		}
		time.Sleep(time.Hour + time.Second)
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := source.Ready(hasty); !errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("expired, and nobody to ask: %v", err)
		}
	})
}

func TestTokenSource_SecretThatIsNotThereIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		path := filepath.Join(t.TempDir(), "secret")
		source := newClient(t, issuer, sdk.SecretFile(path)).TokenSource(warehouse)
		began := time.Now()
		_, err := source.Token(t.Context())
		if !errors.Is(err, os.ErrNotExist) || time.Since(began) != 0 {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
		writeSecret(t, path, issuer.ClientSecret())
		time.Sleep(time.Second)
		tokenOf(t, source)
	})
}

func writeSecret(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestClient_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		client := newClient(t, issuer, nil)
		held := client.TokenSource(warehouse)
		tokenOf(t, held)
		issuer.Slow(time.Minute, sdktest.TokenEndpoint)
		var all sync.WaitGroup
		for _, scope := range []string{"a", "b", "c"} {
			all.Go(func() {
				if _, err := client.TokenSource(warehouse, scope).Token(t.Context()); !errors.Is(err, sdk.ErrClosed) {
					t.Errorf("waiting: error %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if d := time.Since(began); d != 0 {
			t.Errorf("Close took %v", d)
		}
		for name, source := range map[string]*sdk.TokenSource{
			"one with a token": held, "a new one": client.TokenSource("https://new.test"),
		} {
			if _, err := source.Token(t.Context()); !errors.Is(err, sdk.ErrClosed) {
				t.Errorf("%s: error %v, want ErrClosed", name, err)
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestClient_Revoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		client := newClient(t, issuer, nil)
		token := tokenOf(t, client.TokenSource(warehouse))
		if err := client.Revoke(t.Context(), token.AccessToken()); err != nil {
			t.Fatal(err)
		}
		if n := issuer.Requests(sdktest.RevocationEndpoint); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		other, err := client.TokenSource(warehouse).Refresh(t.Context(), token)
		if err != nil || other.AccessToken() == token.AccessToken() {
			t.Errorf("after the revocation: error %v, or the same token", err)
		}
	})
}

func TestClient_RevokeAfterClose(t *testing.T) {
	issuer := sdktest.New()
	client := newClient(t, issuer, nil)
	token := tokenOf(t, client.TokenSource(warehouse))
	_ = client.Close()
	if err := client.Revoke(t.Context(), token.AccessToken()); !errors.Is(err, sdk.ErrClosed) || issuer.Requests(sdktest.RevocationEndpoint) != 0 {
		t.Errorf("error %v, %d requests", err, issuer.Requests(sdktest.RevocationEndpoint))
	}
}

func TestAttack37AClientIsNotPrinted(t *testing.T) {
	issuer := sdktest.New()
	key := bytes.Repeat([]byte{0xAB}, 32)
	client := newClient(t, issuer, nil, sdk.WithSharedTokens(&memoryStore{}), sdk.WithSharingKey(key))
	source := client.TokenSource(warehouse)
	token := tokenOf(t, source)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
		for _, printed := range []any{client, source, client.HTTPClient(warehouse), client.HTTPClient(warehouse).Transport, client.Describe(), token, *token} {
			fmt.Fprintf(&out, verb, printed)
		}
	}
	secrets := []string{token.AccessToken(), issuer.ClientSecret()}
	for _, octet := range []string{"171 ", "ab", "AB", "0xab, ", `\xab`} { // the key, as the verbs write it
		secrets = append(secrets, strings.Repeat(octet, 8))
	}
	for _, secret := range secrets {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in %s", secret, out.String())
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		issuer string
		id     string
		auth   sdk.ClientAuth
		opts   []sdk.ClientOption
		want   string
	}{
		{"no credentials", "https://a.test", "c", nil, nil, "credentials"},
		{"no client id", "https://a.test", "", sdk.Secret("s"), nil, "client id"},
		{"an empty secret", "https://a.test", "c", sdk.Secret(""), nil, "secret is empty"},
		{"plain http", "http://a.test", "c", sdk.Secret("s"), nil, "https"},
		{"a wait of nothing", "https://a.test", "c", sdk.Secret("s"), []sdk.ClientOption{sdk.WithMaxWait(0)}, "WithMaxWait"},
		{"a wait of an hour", "https://a.test", "c", sdk.Secret("s"), []sdk.ClientOption{sdk.WithMaxWait(time.Hour)}, "WithMaxWait"},
		{"no store", "https://a.test", "c", sdk.Secret("s"), []sdk.ClientOption{sdk.WithSharedTokens(nil)}, "WithSharedTokens"},
		{"a short key", "https://a.test", "c", sdk.Secret("s"), []sdk.ClientOption{sdk.WithSharingKey(make([]byte, 16))}, "16 bytes"},
		{"a key for nothing", "https://a.test", "c", sdk.Secret("s"), []sdk.ClientOption{sdk.WithSharingKey(make([]byte, 32))}, "WithSharedTokens"},
		{"no key", "https://a.test", "c", anonymous{}, []sdk.ClientOption{sdk.WithSharedTokens(&memoryStore{})}, "WithSharingKey"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sdk.New(tt.issuer, tt.id, tt.auth, tt.opts...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
}

// anonymous is a ClientAuth that is not the SDK's own.
type anonymous struct{}

func (anonymous) Authenticate(context.Context, *sdk.AuthRequest) error { return nil }
