package sdk_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

// proofOf checks the proof of a request as its server would, and returns it.
func proofOf(t testing.TB, r *http.Request, token *sdk.Token) *proof.DPoP {
	t.Helper()
	u := *r.URL
	if r.Host != "" {
		u.Host = r.Host
	}
	given, err := proof.ReadDPoP(r.Header.Values("DPoP"), r.Method, u.String())
	if err == nil {
		err = errors.Join(given.Fresh(time.Now(), time.Minute, time.Minute), given.Covers(token.AccessToken()))
	}
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, &u, err)
	}
	if got := r.Header.Values("Authorization"); len(got) != 1 || got[0] != "DPoP "+token.AccessToken() {
		t.Errorf("Authorization has %d values, or another one", len(got))
	}
	return given
}

func TestWithDPoP(t *testing.T) {
	given, err := proof.GenerateKey(jose.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]*proof.Key{"a key that was given": given, "a key of the client's own": nil} {
		for kind, nonces := range map[string][]sdktest.Option{"": nil, ", with nonces": {sdktest.WithDPoPNonces()}} {
			t.Run(name+kind, func(t *testing.T) {
				issuer, service := sdktest.New(nonces...), &resource{}
				client := newClient(t, issuer, nil, sdk.WithDPoP(key))
				token := tokenOf(t, client.TokenSource(warehouse))
				jkt := confirmed(t, token, "jkt")
				if token.Type() != "DPoP" || jkt == "" || key != nil && jkt != key.Thumbprint() {
					t.Errorf("%s bound to %q", token.Type(), jkt)
				}
				calls := &http.Client{Transport: client.Transport(service, warehouse)}
				for range 2 {
					resp, err := calls.Post("https://api.test/orders?of=me", "text/plain", strings.NewReader("x"))
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
				}
				first, second := proofOf(t, service.requests[0], token), proofOf(t, service.requests[1], token)
				if first.Thumbprint != jkt || first.ID == second.ID {
					t.Errorf("proofs %+v and %+v of a token bound to %s", first, second, jkt)
				}
				want := 1
				if nonces != nil {
					want = 2
				}
				if n := issuer.Requests(sdktest.TokenEndpoint); n != want {
					t.Errorf("%d token requests, want %d", n, want)
				}
			})
		}
	}
}

// D13: the nonce of an authorization server is asked for once, remembered, and replaced when the server says so.
func TestNoncesOfTheAuthorizationServer(t *testing.T) {
	t.Run("D13", func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithDPoPNonces())
		client := newClient(t, issuer, nil, sdk.WithDPoP(nil))
		for n, want := range []int{2, 3, 5} {
			if n == 2 {
				issuer.RenewNonce()
			}
			tokenOf(t, client.TokenSource(warehouse, string(rune('a'+n))))
			if got := issuer.Requests(sdktest.TokenEndpoint); got != want {
				t.Errorf("%d requests for %d tokens, want %d", got, n+1, want)
			}
		}
	})
	t.Run("a server that is never content", func(t *testing.T) {
		asked := 0
		w := newWire(t, func(rw http.ResponseWriter, r *http.Request) {
			asked++
			rw.Header().Set("DPoP-Nonce", "n")
			answers(400, `{"error":"use_dpop_nonce"}`)(rw, r)
		})
		_, err := w.authority(t, sdk.Secret(testSecret)).RequestBoundToken(t.Context(), "", proofKey(t, newECKey(t)))
		if refused := (*sdk.TokenError)(nil); asked != 2 || !errors.As(err, &refused) || refused.Code != "use_dpop_nonce" {
			t.Errorf("asked %d times, %v", asked, err)
		}
	})
	t.Run("a nonce that is none", func(t *testing.T) {
		asked := 0
		w := newWire(t, func(rw http.ResponseWriter, r *http.Request) {
			asked++
			rw.Header().Set("DPoP-Nonce", `a"b`)
			answers(400, `{"error":"use_dpop_nonce"}`)(rw, r)
		})
		if _, err := w.authority(t, sdk.Secret(testSecret)).RequestBoundToken(t.Context(), "", proofKey(t, newECKey(t))); err == nil || asked != 1 {
			t.Errorf("asked %d times, %v", asked, err)
		}
	})
}

// A proof names the endpoint as the metadata does, whatever address the server is reached by.
func TestProofsByAddress(t *testing.T) {
	issuer := sdktest.New()
	client := newClient(t, issuer, nil, sdk.WithDPoP(nil), sdk.WithAddresses("https://10.0.0.7:8443"))
	tokenOf(t, client.TokenSource(warehouse))
	if log := issuer.Log(sdktest.TokenEndpoint); len(log) != 1 || log[0].Host != "10.0.0.7:8443" || log[0].Header.Get("DPoP") == "" {
		t.Errorf("asked %+v", log)
	}
}

func TestNoncesOfAResource(t *testing.T) {
	const challenge = `DPoP error="use_dpop_nonce", error_description="x"`
	for _, tt := range []struct {
		name   string
		answer func(n int, r *http.Request) *http.Response
		body   bool // one that can be had again
		once   bool // one that cannot
		nonces []string
		status int
		tokens int
	}{
		{
			name: "asks once", body: true, nonces: []string{"", "n1", "n1"}, status: 200, tokens: 1,
			answer: func(n int, _ *http.Request) *http.Response {
				if n == 1 {
					return reply(401, "WWW-Authenticate", challenge, "DPoP-Nonce", "n1")
				}
				return reply(200)
			},
		},
		{
			name: "renews with good answers", nonces: []string{"", "n1"}, status: 200, tokens: 1,
			answer: func(n int, _ *http.Request) *http.Response { return reply(200, "DPoP-Nonce", "n"+string(rune('0'+n))) },
		},
		{
			name: "the body is gone", once: true, nonces: []string{""}, status: 401, tokens: 1,
			answer: func(int, *http.Request) *http.Response {
				return reply(401, "WWW-Authenticate", challenge, "DPoP-Nonce", "n1")
			},
		},
		{
			name: "the proof is refused, then the token", nonces: []string{"", "", ""}, status: 200, tokens: 2,
			answer: func(n int, _ *http.Request) *http.Response {
				switch n {
				case 1:
					return reply(401, "WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
				case 2:
					return reply(401, "WWW-Authenticate", `DPoP error="invalid_token"`)
				}
				return reply(200)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer, service := sdktest.New(), &resource{answer: tt.answer}
			client := newClient(t, issuer, nil, sdk.WithDPoP(nil))
			calls := &http.Client{Transport: client.Transport(service, warehouse)}
			status := 0
			for len(service.requests) < len(tt.nonces) {
				before := len(service.requests)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.test/x", nil)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case tt.body:
					r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.test/x", strings.NewReader("text"))
				case tt.once:
					r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.test/x", readOnce{strings.NewReader("text")})
				}
				if err != nil {
					t.Fatal(err)
				}
				resp, err := calls.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if status = resp.StatusCode; len(service.requests) == before {
					t.Fatal("nothing was sent")
				}
			}
			seen := map[string]bool{}
			for n, r := range service.requests {
				given, err := proof.ReadDPoP(r.Header.Values("DPoP"), r.Method, r.URL.String())
				if err != nil {
					t.Fatal(err)
				}
				if seen[given.ID] || n < len(tt.nonces) && given.Nonce != tt.nonces[n] {
					t.Errorf("request %d: nonce %q", n+1, given.Nonce)
				}
				seen[given.ID] = true
			}
			for _, body := range service.bodies {
				if (tt.body || tt.once) && body != "text" {
					t.Errorf("sent %q", body)
				}
			}
			if n := issuer.Requests(sdktest.TokenEndpoint); n != tt.tokens || status != tt.status || len(service.requests) != len(tt.nonces) {
				t.Errorf("%d tokens, last answer %d, %d requests", n, status, len(service.requests))
			}
		})
	}
}

// readOnce hides from net/http that a body could be read again.
type readOnce struct{ *strings.Reader }

func TestAuthorize(t *testing.T) {
	client := newClient(t, sdktest.New(), nil, sdk.WithDPoP(nil))
	token := tokenOf(t, client.TokenSource(warehouse))
	r := &http.Request{URL: mustURL(t, "https://10.0.0.1/x?y"), Host: "api.test"} // as NewRequest leaves a GET to the zero value
	for _, set := range []func(*http.Request){func(r *http.Request) { _ = token.Authorize(r) }, token.SetAuthHeader} {
		set(r)
		r.Method = http.MethodGet
		proofOf(t, r, token)
	}
	if token.Heed(r, reply(200)) || !token.Heed(r, reply(401, "WWW-Authenticate", `DPoP error="use_dpop_nonce"`, "DPoP-Nonce", "n7")) {
		t.Error("an answer is misunderstood")
	}
	if err := token.Authorize(r); err != nil || proofOf(t, r, token).Nonce != "n7" {
		t.Errorf("the nonce is not heeded: %v", err)
	}
	r.URL = mustURL(t, "/x")
	r.Host = ""
	if err := token.Authorize(r); err == nil || len(r.Header) != 0 {
		t.Errorf("for a request to nowhere: %v, %v", err, r.Header)
	}
	plain := tokenOf(t, newClient(t, sdktest.New(), nil).TokenSource(warehouse))
	if err := plain.Authorize(r); err != nil || r.Header.Get("Authorization") != "Bearer "+plain.AccessToken() || r.Header.Get("DPoP") != "" {
		t.Errorf("a token for bearers: %v, %v", err, r.Header)
	}
	if plain.Heed(r, reply(401, "WWW-Authenticate", `DPoP error="use_dpop_nonce"`, "DPoP-Nonce", "n7")) {
		t.Error("a token for bearers has no proof")
	}
	if err := (sdk.Token{}).Authorize(r); err == nil {
		t.Error("no token was sent")
	}
}

// RFC 9449 §5: a client that asked for a bound token must not go on with another one.
func TestAttack30NoFallBackToBearer(t *testing.T) {
	issuer := sdktest.New()
	issuer.Alter(sdktest.TokenEndpoint, func(m map[string]any) { m["token_type"] = "Bearer" })
	client := newClient(t, issuer, nil, sdk.WithDPoP(nil), sdk.WithLogger(slog.New(slog.DiscardHandler)))
	service := &resource{}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Transport(service, warehouse).RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "token_type Bearer where a token bound by DPoP was asked for") || len(service.requests) > 0 || ctx.Err() != nil {
		t.Errorf("got %v, %d requests", err, len(service.requests))
	}
	other := sdktest.New()
	other.Alter(sdktest.TokenEndpoint, func(m map[string]any) { m["token_type"] = "DPoP" })
	plain := newClient(t, other, nil, sdk.WithLogger(slog.New(slog.DiscardHandler)))
	if _, err := plain.TokenSource(warehouse).Token(ctx); err == nil || !strings.Contains(err.Error(), "add WithDPoP") {
		t.Errorf("got %v", err)
	}
}

func TestDPoPAlgorithms(t *testing.T) {
	issuer := sdktest.New()
	issuer.Alter(sdktest.MetadataEndpoint, func(m map[string]any) { m["dpop_signing_alg_values_supported"] = []string{"PS256", "RS256"} })
	client := newClient(t, issuer, nil, sdk.WithDPoP(nil), sdk.WithLogger(slog.New(slog.DiscardHandler)))
	if _, err := client.TokenSource(warehouse).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "does not list ES256") || issuer.Requests(sdktest.TokenEndpoint) > 0 {
		t.Errorf("got %v", err)
	}
}

func TestSharedTokensAreOfOneKey(t *testing.T) {
	issuer, store := sdktest.New(), &memoryStore{}
	if _, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithSharedTokens(store), sdk.WithDPoP(nil)); err == nil ||
		!strings.Contains(err.Error(), "give WithDPoP a key") {
		t.Errorf("a key that nobody else has: %v", err)
	}
	one, other := proofKey(t, newECKey(t)), proofKey(t, newECKey(t))
	var first *sdk.Token
	for n, tt := range []struct {
		opts []sdk.ClientOption
		want int
	}{
		{[]sdk.ClientOption{sdk.WithDPoP(one)}, 1},
		{[]sdk.ClientOption{sdk.WithDPoP(one)}, 1},
		{[]sdk.ClientOption{sdk.WithDPoP(other)}, 2},
		{nil, 3},
		{nil, 3},
	} {
		token := tokenOf(t, newClient(t, issuer, nil, append(tt.opts, sdk.WithSharedTokens(store))...).TokenSource(warehouse))
		if got := issuer.Requests(sdktest.TokenEndpoint); got != tt.want {
			t.Errorf("client %d: %d requests, want %d", n+1, got, tt.want)
		}
		switch n {
		case 0:
			first = token
		case 1:
			if token.AccessToken() != first.AccessToken() || token.Type() != "DPoP" {
				t.Errorf("a shared token of type %s", token.Type())
			}
			r := &http.Request{Method: http.MethodGet, URL: mustURL(t, "https://api.test/")}
			if err := token.Authorize(r); err != nil || proofOf(t, r, token).Thumbprint != one.Thumbprint() {
				t.Errorf("a shared token cannot be used: %v", err)
			}
		case 3, 4:
			if token.Type() != "Bearer" {
				t.Errorf("type %s", token.Type())
			}
		}
	}
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
