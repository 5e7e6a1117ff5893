package sdk_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

func exchangeOf(t testing.TB, c *sdk.Client, subject, resource string, scopes ...string) *sdk.Token {
	t.Helper()
	token, err := c.Exchange(t.Context(), subject, resource, scopes...)
	if err != nil {
		t.Errorf("Exchange: %v", err)
		return &sdk.Token{}
	}
	return token
}

func TestExchangeAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		issuer.Slow(100 * time.Millisecond)
		client := newClient(t, issuer, nil)
		subject := issuer.Mint(sdktest.Claims{ClientID: "shop", Lifetime: 10 * time.Minute})
		tokens := make([]*sdk.Token, 1000)
		var all sync.WaitGroup
		for n := range tokens {
			all.Go(func() { tokens[n] = exchangeOf(t, client, subject, warehouse, "write read", "read") })
		}
		all.Wait()
		for _, token := range tokens {
			if token != tokens[0] {
				t.Fatal("two tokens")
			}
		}
		asked := issuer.Log(sdktest.TokenEndpoint)
		if len(asked) != 1 {
			t.Fatalf("asked %d times", len(asked))
		}
		for name, want := range map[string]string{
			"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "resource": warehouse, "scope": "read write",
			"subject_token": subject, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
		} {
			if got := asked[0].Form.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if left := time.Until(tokens[0].Expires()); left > 10*time.Minute || left < 9*time.Minute {
			t.Errorf("expires in %v, its subject in 10 minutes", left)
		}
		other := issuer.Mint(sdktest.Claims{ClientID: "shop"})
		for _, different := range []*sdk.Token{
			exchangeOf(t, client, other, warehouse, "read", "write"),
			exchangeOf(t, client, subject, warehouse, "read"),
			exchangeOf(t, client, subject, "https://other.test", "read", "write"),
		} {
			if different == tokens[0] {
				t.Error("another question got the same answer")
			}
		}
		time.Sleep(9 * time.Minute)
		if exchangeOf(t, client, subject, warehouse, "read", "write") != tokens[0] {
			t.Error("a token that lives was exchanged anew")
		}
		time.Sleep(time.Minute)
		if _, err := client.Exchange(t.Context(), subject, warehouse, "read", "write"); tokenError(err).Code != "invalid_grant" {
			t.Errorf("beyond the subject's life: %v", err)
		}
	})
}

func tokenError(err error) sdk.TokenError {
	if found := (*sdk.TokenError)(nil); errors.As(err, &found) {
		return *found
	}
	return sdk.TokenError{}
}

// What was refused is not asked for again for a second, and what was not answered is no refusal.
func TestExchangeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		client := newClient(t, issuer, nil, sdk.WithMaxWait(2*time.Second))
		subject := issuer.Mint(sdktest.Claims{})
		refuses := func(code string) error {
			t.Helper()
			_, err := client.Exchange(t.Context(), subject, warehouse)
			if tokenError(err).Code != code || err == nil || strings.Contains(fmt.Sprint(err), subject) {
				t.Errorf("got %v, want %s", err, code)
			}
			return err
		}
		issuer.Replace(sdktest.TokenEndpoint, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"invalid_target","error_description":"no grant for %s"}`, r.PostFormValue("subject_token"))
		}))
		for range 10 {
			refuses("invalid_target")
		}
		if n := issuer.Requests(sdktest.TokenEndpoint); n != 1 {
			t.Errorf("asked %d times", n)
		}
		issuer.Heal(sdktest.TokenEndpoint)
		issuer.Replace(sdktest.TokenEndpoint, nil)
		time.Sleep(time.Second)
		exchangeOf(t, client, subject, warehouse)
		issuer.Down(true)
		exchangeOf(t, client, subject, warehouse) // from memory
		subject = issuer.Mint(sdktest.Claims{})
		for range 3 {
			if err := refuses(""); !errors.Is(err, sdk.ErrUnavailable) {
				t.Error(err)
			}
		}
		began := time.Now()
		for range 100 {
			if err := refuses(""); !errors.Is(err, sdk.ErrUnavailable) {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("100 callers waited %v for a server that is down", took)
		}
		issuer.Down(false)
		time.Sleep(time.Second)
		exchangeOf(t, client, subject, warehouse)
	})
}

func TestExchangeAfterTheEnd(t *testing.T) {
	issuer := sdktest.New()
	client := newClient(t, issuer, nil)
	subject := issuer.Mint(sdktest.Claims{})
	if _, err := client.Exchange(t.Context(), "", warehouse); err == nil || errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("nothing was exchanged: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Exchange(ctx, subject, warehouse); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller gave up: %v", err)
	}
	exchangeOf(t, client, subject, warehouse)
	_ = client.Close()
	if _, err := client.Exchange(t.Context(), subject, warehouse); !errors.Is(err, sdk.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// chained is a service that is called, and calls the warehouse in its caller's name.
type chained struct {
	*service
	client    *sdk.Client
	warehouse *resource
}

func newChained(t *testing.T, opts ...sdk.VerifierOption) *chained {
	t.Helper()
	c := &chained{service: newService(t, opts...), warehouse: &resource{}}
	c.client = newClient(t, c.issuer, nil)
	return c
}

// serve answers a call with this token by a call of the warehouse, and returns how that went.
func (c *chained) serve(t testing.TB, token string) (answer *http.Response, err error) {
	t.Helper()
	rt := c.client.ExchangeTransport(c.warehouse, warehouse, "read")
	handler := c.Middleware(sdk.Policy{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var out *http.Request
		if out, err = http.NewRequestWithContext(r.Context(), http.MethodGet, warehouse+"/items", nil); err == nil {
			answer, err = rt.RoundTrip(out)
		}
	}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
		return nil, fmt.Errorf("answered %d", w.Code)
	}
	return answer, err
}

func TestExchangeTransport(t *testing.T) {
	c := newChained(t)
	subject := c.issuer.Mint(sdktest.Claims{ClientID: "shop", Audience: []string{api}})
	for range 3 {
		if answer, err := c.serve(t, subject); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(answer, err)
		}
	}
	if n := c.issuer.Requests(sdktest.TokenEndpoint); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	sent := c.warehouse.requests[0].Header.Get("Authorization")
	if strings.Contains(sent, subject) {
		t.Error("the caller's token was sent on")
	}
	next, err := c.ForAudience(warehouse).Verify(t.Context(), strings.TrimPrefix(sent, "Bearer "), sdk.RequireScope("read"))
	if err != nil {
		t.Fatal(err)
	}
	actors := next.Actors()
	if next.Subject() != "shop" || next.ClientID() != c.issuer.ClientID() || len(actors) != 1 || actors[0].Subject != c.issuer.ClientID() {
		t.Errorf("%v by %v", next, actors)
	}
	t.Run("without a caller", func(t *testing.T) {
		body := &closing{Reader: strings.NewReader("x")}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, warehouse, body)
		before := len(c.warehouse.requests)
		answer, err := c.client.ExchangeTransport(c.warehouse, warehouse).RoundTrip(r)
		if !errors.Is(err, sdk.ErrNoToken) || answer != nil || !body.closed || len(c.warehouse.requests) != before {
			t.Errorf("%v, %v", answer, err)
		}
	})
	t.Run("with a token of its own", func(t *testing.T) {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, warehouse, nil)
		r.Header.Set("Authorization", "Bearer own")
		if _, err := c.client.ExchangeTransport(c.warehouse, warehouse).RoundTrip(r); err != nil {
			t.Error(err)
		}
	})
}

// A token that the next service refuses is exchanged once more, unless it is fresh.
func TestExchangeTransportRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChained(t, sdk.WithoutRevocation())
		c.warehouse.answer = func(n int, _ *http.Request) *http.Response {
			if n == 2 || n == 3 {
				return reply(http.StatusUnauthorized)
			}
			return reply(http.StatusOK)
		}
		subject := c.issuer.Mint(sdktest.Claims{Audience: []string{api}})
		for _, tt := range []struct{ status, sent, exchanges int }{
			{http.StatusOK, 1, 1}, {http.StatusUnauthorized, 2, 1}, // for it is fresh
		} {
			answer, err := c.serve(t, subject)
			if err != nil || answer.StatusCode != tt.status || len(c.warehouse.requests) != tt.sent || c.issuer.Requests(sdktest.TokenEndpoint) != tt.exchanges {
				t.Fatalf("%v, %v, %d sent", answer, err, len(c.warehouse.requests))
			}
		}
		time.Sleep(10 * time.Second)
		answer, err := c.serve(t, subject)
		if err != nil || answer.StatusCode != http.StatusOK || len(c.warehouse.requests) != 4 || c.issuer.Requests(sdktest.TokenEndpoint) != 2 {
			t.Errorf("%v, %v, %d sent", answer, err, len(c.warehouse.requests))
		}
	})
}

// A request whose body cannot be sent again has no second chance, but the next one has another token.
func TestExchangeTransportForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChained(t)
		c.warehouse.answer = func(n int, _ *http.Request) *http.Response {
			if n == 2 {
				return reply(http.StatusUnauthorized)
			}
			return reply(http.StatusOK)
		}
		ctx := sdk.NewCallContext(t.Context(), sdktest.Identity("shop"), c.issuer.Mint(sdktest.Claims{Audience: []string{api}}))
		send := func() int {
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, warehouse, &closing{Reader: strings.NewReader("x")})
			answer, err := c.client.ExchangeTransport(c.warehouse, warehouse, "read").RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			return answer.StatusCode
		}
		send()
		time.Sleep(10 * time.Second)
		if first, second := send(), send(); first != http.StatusUnauthorized || second != http.StatusOK {
			t.Errorf("answered %d and %d", first, second)
		}
		if sent := c.warehouse.requests; sent[1].Header.Get("Authorization") == sent[2].Header.Get("Authorization") || c.issuer.Requests(sdktest.TokenEndpoint) != 2 {
			t.Error("the refused token is used again")
		}
	})
}

// Nothing that prints what is at hand in a handler prints the token.
func TestCallContextIsSilent(t *testing.T) {
	const secret = "the.callers.token"
	identity := sdktest.Identity("shop")
	ctx := sdk.NewCallContext(t.Context(), identity, secret)
	if token, ok := sdk.TokenFromContext(ctx); !ok || token != secret {
		t.Errorf("%q, %v", token, ok)
	}
	if got, ok := sdk.FromContext(ctx); !ok || got != identity {
		t.Errorf("%v, %v", got, ok)
	}
	type key struct{}
	child, cancel := context.WithCancel(context.WithValue(ctx, key{}, 1))
	defer cancel()
	r := httptest.NewRequestWithContext(child, http.MethodGet, "/", nil)
	var log strings.Builder
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("all", "ctx", ctx, "child", child, "r", r.Context())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, what := range []any{ctx, child, r, struct{ c context.Context }{ctx}, []any{ctx}, map[string]context.Context{"c": ctx}} {
			fmt.Fprintf(&log, verb+"\n", what)
		}
	}
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("the token is in a log: %s", log.String())
	}
	if _, ok := sdk.TokenFromContext(t.Context()); ok {
		t.Error("a token from nowhere")
	}
}

// One entry of the feed ends what was made from the token that it names: JWTs by comparison, opaque ones too.
func TestAncestors(t *testing.T) {
	for _, format := range []string{"JWT", "opaque"} {
		for _, tt := range []struct {
			name   string
			revoke func(i *sdktest.Issuer, root, rootKey string)
			ends   bool
		}{
			{"token", func(i *sdktest.Issuer, root, _ string) { i.Revoke(root) }, true},
			{"client", func(i *sdktest.Issuer, _, _ string) { i.RevokeClient("shop") }, true},
			{"grant", func(i *sdktest.Issuer, _, _ string) { i.RevokeGrant("shop", "https://orders.test") }, true},
			{"API", func(i *sdktest.Issuer, _, _ string) { i.RevokeAPI("https://orders.test") }, true},
			{"credential", func(i *sdktest.Issuer, _, _ string) { i.RevokeCredential(i.Credential("shop")) }, true},
			{"another's grant", func(i *sdktest.Issuer, _, _ string) { i.RevokeGrant("shop", warehouse) }, false},
			{"another token", func(i *sdktest.Issuer, _, _ string) { i.RevokeToken("0000000000000000000000") }, false},
		} {
			t.Run(format+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					issuer := sdktest.New()
					if format == "opaque" {
						issuer = sdktest.New(sdktest.WithOpaqueTokens())
					}
					issuer.AddClient("shop", "secret")
					s := serviceOf(t, issuer)
					root := issuer.Mint(sdktest.Claims{ClientID: "shop", Audience: []string{"https://orders.test"}})
					client := newClient(t, issuer, nil)
					second := exchangeOf(t, client, root, warehouse).AccessToken()
					third := exchangeOf(t, client, second, api).AccessToken()
					if _, err := s.Verify(t.Context(), third, sdk.Policy{}); err != nil {
						t.Fatal(err)
					}
					tt.revoke(issuer, root, "")
					time.Sleep(2 * time.Second)
					for _, mode := range []sdk.Policy{{}, sdk.Policy{}.Strict()} {
						if _, err := s.Verify(t.Context(), third, mode); errors.Is(err, sdk.ErrInvalidToken) != tt.ends {
							t.Errorf("%v: %v", mode, err)
						}
					}
				})
			})
		}
	}
}

// A client that binds its tokens has those bound that it gets in exchange, and proves it to the next service.
func TestExchangeBinds(t *testing.T) {
	c := newChained(t)
	c.client = newClient(t, c.issuer, nil, sdk.WithDPoP(nil))
	if answer, err := c.serve(t, c.issuer.Mint(sdktest.Claims{ClientID: "shop", Audience: []string{api}})); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	sent := c.warehouse.requests[0]
	if !strings.HasPrefix(sent.Header.Get("Authorization"), "DPoP ") || sent.Header.Get("Dpop") == "" {
		t.Fatalf("sent %v", sent.Header["Authorization"])
	}
	sent.TLS = &tls.ConnectionState{} // as it is on the other side
	guarded, err := c.ForAudience(warehouse).VerifyRequest(sent, sdk.RequireScope("read"))
	if err != nil {
		t.Fatal(err)
	}
	if who, _ := sdk.FromContext(guarded.Context()); !who.Bound() || who.Subject() != "shop" {
		t.Errorf("%v", who)
	}
}

// BenchmarkExchange is what a call costs whose token was exchanged before.
func BenchmarkExchange(b *testing.B) {
	issuer := sdktest.New()
	client := newClient(b, issuer, nil)
	subject := issuer.Mint(longClaims())
	ctx := sdk.NewCallContext(b.Context(), sdktest.Identity("shop"), subject)
	exchangeOf(b, client, subject, warehouse, "read")
	b.ReportAllocs()
	for b.Loop() {
		token, _ := sdk.TokenFromContext(ctx)
		if _, err := client.Exchange(ctx, token, warehouse, "read"); err != nil {
			b.Fatal(err)
		}
	}
}
