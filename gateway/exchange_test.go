package gateway_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

const stock = "https://stock.test"

// startExchange serves a route whose callers' tokens are exchanged.
func startExchange(t *testing.T, more string) (*world, *gateway.Gateway) {
	t.Helper()
	w := &world{issuer: sdktest.Start(t), log: new(logBook)}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/items/refused" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		tell(w, r)
	}))
	t.Cleanup(upstream.Close)
	text := "issuers: {main: {url: " + w.issuer.URL() + ", client_id: " + w.issuer.ClientID() + ", client_secret: " + w.issuer.ClientSecret() + more + "}}\n" +
		"pools: {echo: {targets: [{url: \"" + upstream.URL + "\"}]}}\n" +
		"routes: [{name: items, match: {prefix: /items}, authentication: introspect, audience: \"" + api + "\", pool: echo, exchange: {resource: \"" + stock + "\", scopes: [stock:read]}}]\n"
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g, err := assemble(t, text, func(c *gateway.Config) { c.Logger = logger })
	if err != nil {
		t.Fatal(err)
	}
	edge := &httpx.Edge{Log: logger, Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	server := httptest.NewServer(edge.Wrap(g))
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w, g
}

func TestExchange(t *testing.T) {
	w, _ := startExchange(t, "")
	verifier, err := sdk.NewVerifier(w.issuer.URL(), stock, sdk.WithCredentials(w.issuer.ClientID(), sdk.Secret(w.issuer.ClientSecret())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = verifier.Close() })
	for name, token := range map[string]string{
		"JWT": w.issuer.Mint(sdktest.Claims{ClientID: "cl_shop", Audience: []string{api}}), "opaque": w.issuer.MintOpaque(sdktest.Claims{ClientID: "cl_shop", Audience: []string{api}}),
	} {
		t.Run(name, func(t *testing.T) {
			asked := w.issuer.Requests(sdktest.TokenEndpoint)
			var before string
			for range 3 {
				got := w.send(t, http.MethodGet, "/items/7", "", bearing(token)).told(t)
				sent := strings.TrimPrefix(got.Header.Get("Authorization"), "Bearer ")
				if sent == token || before != "" && sent != before {
					t.Error("the upstream got the caller's token, or another one each time")
				}
				before = sent
				if got.Header.Get("X-Client-Id") != "cl_shop" || len(got.Header["Authorization"]) != 1 {
					t.Errorf("upstream got %v", got.Header)
				}
			}
			if n := w.issuer.Requests(sdktest.TokenEndpoint) - asked; n != 1 {
				t.Errorf("%d exchanges", n)
			}
			next, err := verifier.Verify(t.Context(), before, sdk.RequireScope("stock:read"))
			if err != nil {
				t.Fatal(err)
			}
			if actors := next.Actors(); next.Subject() != "cl_shop" || next.ClientID() != w.issuer.ClientID() || len(actors) != 1 {
				t.Errorf("%v by %v", next, actors)
			}
			if strings.Contains(w.log.String(), before) || strings.Contains(w.log.String(), token) {
				t.Error("a token is in the log")
			}
		})
	}
}

func TestExchangeFails(t *testing.T) {
	refusing := func(code string, status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "because"})
		})
	}
	for _, tt := range []struct {
		name   string
		answer http.Handler
		status int
		code   string
	}{
		{"not granted", refusing("invalid_target", 400), 403, "forbidden"},
		{"scopes that the caller lacks", refusing("invalid_scope", 400), 403, "forbidden"},
		{"no exchange at all", refusing("unauthorized_client", 400), 403, "forbidden"},
		{"revoked meanwhile", refusing("invalid_grant", 400), 401, "invalid_token"},
		{"the gateway's secret is wrong", refusing("invalid_client", 401), 503, "unavailable"},
		{"the server is in trouble", refusing("server_error", 500), 503, "unavailable"},
		{"no JSON", http.NotFoundHandler(), 503, "unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := startExchange(t, ", timeout: 500ms")
			known := w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
			w.send(t, http.MethodGet, "/items", "", bearing(known)).told(t)
			w.issuer.Replace(sdktest.TokenEndpoint, tt.answer)
			got := w.send(t, http.MethodGet, "/items", "", bearing(w.issuer.Mint(sdktest.Claims{Audience: []string{api}})))
			if p := got.problem(t); got.status != tt.status || p.Code != tt.code {
				t.Errorf("%d %s", got.status, got.body)
			}
			if retry := got.header.Get("Retry-After") != ""; retry != (tt.status == 503) {
				t.Errorf("Retry-After: %q", got.header.Get("Retry-After"))
			}
			w.send(t, http.MethodGet, "/items", "", bearing(known)).told(t) // from memory
		})
	}
	t.Run("the server is away", func(t *testing.T) {
		w, _ := startExchange(t, ", timeout: 500ms")
		known := w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
		other := w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
		w.send(t, http.MethodGet, "/items", "", bearing(known)).told(t)
		w.issuer.Down(true)
		w.send(t, http.MethodGet, "/items", "", bearing(known)).told(t)
		if got := w.send(t, http.MethodGet, "/items", "", bearing(other)); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// A fresh token that an upstream refuses is no reason to ask for another.
func TestExchangeRefusedByTheUpstream(t *testing.T) {
	w, _ := startExchange(t, "")
	token := w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
	for _, tt := range []struct {
		path   string
		status int
	}{{"/items/refused", 401}, {"/items", 200}, {"/items/refused", 401}} {
		if got := w.send(t, http.MethodGet, tt.path, "", bearing(token)); got.status != tt.status {
			t.Errorf("%s: %d %s", tt.path, got.status, got.body)
		}
	}
	if n := w.issuer.Requests(sdktest.TokenEndpoint); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// The chain ends at the gateway with the caller's token, and behind it too.
func TestExchangeEndsWithTheCallersToken(t *testing.T) {
	w, _ := startExchange(t, "")
	token := w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
	w.send(t, http.MethodGet, "/items", "", bearing(token)).told(t)
	w.issuer.Revoke(token)
	await(t, "refusal", func() bool {
		return w.send(t, http.MethodGet, "/items", "", bearing(token)).status == http.StatusUnauthorized
	})
}

// Other proxies would pass on the caller's token, so they are told no.
func TestExchangeIsNotForOtherProxies(t *testing.T) {
	w, g := startExchange(t, "")
	edge := &httpx.Edge{Log: slog.New(slog.DiscardHandler), Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, gateway.AuthorizePath, nil)
	r.Header = bearing(w.issuer.Mint(sdktest.Claims{Audience: []string{api}}))
	r.Header.Set("X-Forwarded-Method", http.MethodGet)
	r.Header.Set("X-Forwarded-Uri", "/items")
	got := httptest.NewRecorder()
	edge.Wrap(http.HandlerFunc(g.Authorize)).ServeHTTP(got, r)
	if got.Code != http.StatusForbidden {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestExplainExchange(t *testing.T) {
	w, g := startExchange(t, "")
	address, err := url.Parse("https://api.test/items")
	if err != nil {
		t.Fatal(err)
	}
	token := w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
	explain := func(status int, want ...string) {
		t.Helper()
		var out bytes.Buffer
		e := g.Explain(t.Context(), http.MethodGet, address, token)
		if err := e.Write(&out); err != nil || e.Status != status || e.TokenPassed {
			t.Errorf("%v, %+v", err, e)
		}
		for _, part := range want {
			if !strings.Contains(out.String(), part) {
				t.Errorf("does not say %q:\n%s", part, out.String())
			}
		}
	}
	w.issuer.Replace(sdktest.TokenEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"invalid_target","error_description":"no grant"}`, http.StatusBadRequest)
	}))
	explain(http.StatusForbidden, "403 Forbidden", "invalid_target: no grant", "exchange", "for a token for "+stock)
	w.issuer.Replace(sdktest.TokenEndpoint, nil)
	token = w.issuer.Mint(sdktest.Claims{Audience: []string{api}})
	explain(http.StatusOK, "let in", "is exchanged for one for "+stock+" with scopes stock:read")
}
