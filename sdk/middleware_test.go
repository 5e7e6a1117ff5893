package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

const audience = "https://inventory.test"

// newGuarded returns a verifier for audience, and its issuer.
func newGuarded(t testing.TB, opts ...sdk.VerifierOption) (*sdk.Verifier, *sdktest.Issuer) {
	t.Helper()
	issuer := sdktest.New(sdktest.WithDefaults(audience, "inventory:read"))
	opts = append(opts, sdk.WithHTTPClient(issuer.Client()), sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())))
	verifier, err := sdk.NewVerifier(issuer.URL(), audience, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := verifier.Close(); err != nil {
			t.Error(err)
		}
		issuer.Close()
	})
	return verifier, issuer
}

// serve starts a server with h and returns its URL.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// call sends a request by way of a connection of its own, and returns the answer and its body.
func call(t testing.TB, method, address string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	if header == nil {
		r.Header = make(http.Header)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// whoami answers the caller's client id.
func whoami(w http.ResponseWriter, r *http.Request) {
	identity, ok := sdk.FromContext(r.Context())
	if !ok {
		http.Error(w, "nobody", http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, identity.ClientID())
}

func TestMiddleware(t *testing.T) {
	verifier, issuer := newGuarded(t)
	address := serve(t, verifier.Middleware(sdk.RequireScope("inventory:read"))(http.HandlerFunc(whoami)))
	good := issuer.Token(audience, "inventory:read", "inventory:write")
	stranger := sdktest.New(sdktest.WithURL("https://stranger.test"))
	form := func(token string) http.Header {
		h := bearer(token)
		h.Set("Content-Type", "Application/X-WWW-Form-Urlencoded ; charset=utf-8")
		return h
	}
	const challenge = `Bearer realm="https://inventory.test"`

	for _, tt := range []struct {
		name      string
		header    http.Header
		query     string
		body      string
		status    int
		challenge string // what it begins with
	}{
		{name: "a good token", header: bearer(good), status: 200},
		{name: "S12: a scheme in lower case", header: http.Header{"Authorization": {"bearer " + good}}, status: 200},
		{name: "S01: no token", status: 401, challenge: challenge + "$"},
		{name: "another scheme", header: http.Header{"Authorization": {"Basic " + good}}, status: 401, challenge: challenge + "$"},
		{name: "S02: a malformed header", header: bearer("a b"), status: 400, challenge: challenge + `, error="invalid_request", error_description="`},
		{name: "S03: expired", header: bearer(issuer.Mint(sdktest.Claims{Lifetime: -time.Hour})), status: 401, challenge: challenge + `, error="invalid_token", error_description="`},
		{name: "S04: a bad signature", header: bearer(good[:len(good)-8] + "AAAAAAAA"), status: 401, challenge: challenge + `, error="invalid_token", error_description="`},
		{name: "S05: another audience", header: bearer(issuer.Token("https://billing.test", "inventory:read")), status: 401, challenge: challenge + `, error="invalid_token", error_description="`},
		{name: "S06: another issuer", header: bearer(stranger.Token(audience, "inventory:read")), status: 401, challenge: challenge + `, error="invalid_token", error_description="`},
		{
			name: "S08: a scope is missing", header: bearer(issuer.Token(audience, "inventory:write")), status: 403,
			challenge: challenge + `, error="insufficient_scope", error_description="`,
		},
		{name: "S09: a token in the query is ignored", query: "?access_token=" + good, status: 401, challenge: challenge + "$"},
		{
			name: "S09: a token in the header and another in the query", header: bearer(good), query: "?a=b&access%5Ftoken=" + good,
			status: 400, challenge: challenge + `, error="invalid_request", error_description="`,
		},
		{name: "a parameter without value counts as left out", header: bearer(good), query: "?access_token=&access_tokens=x", status: 200},
		{name: "a query that is no form", header: bearer(good), query: "?%zz=1&&;=&=", status: 200},
		{
			name: "S10: a token in the header and another in the body", header: form(good), body: "a=b&access_token=" + good,
			status: 400, challenge: challenge + `, error="invalid_request", error_description="`,
		},
		{name: "S10: a form without a token", header: form(good), body: "a=access_token", status: 200},
		{name: "S10: a body that is no form", header: bearer(good), body: "access_token=" + good, status: 200},
		{name: "a token in the body is ignored", header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body: "access_token=" + good, status: 401, challenge: challenge + "$"},
		{
			name: "S11, attack 23: two Authorization headers", header: http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}},
			status: 400, challenge: challenge + `, error="invalid_request", error_description="`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := call(t, http.MethodPost, address+"/items"+tt.query, tt.header, tt.body)
			got := resp.Header.Get("WWW-Authenticate") + "$"
			if resp.StatusCode != tt.status || !strings.HasPrefix(got, tt.challenge) || tt.challenge == "" && got != "$" {
				t.Errorf("%d %s %s; want %d %s", resp.StatusCode, got, body, tt.status, tt.challenge)
			}
			if tt.status == 200 {
				if body != issuer.ClientID() {
					t.Errorf("the handler was told of %q", body)
				}
				return
			}
			checkProblem(t, resp, body)
			if strings.Contains(body+got, good[:40]) {
				t.Errorf("the answer holds the token: %s %s", got, body)
			}
		})
	}
}

// checkProblem checks what all refusals have in common.
func checkProblem(t *testing.T, resp *http.Response, body string) {
	t.Helper()
	var problem struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Type != "about:blank" || problem.Status != resp.StatusCode ||
		problem.Title != http.StatusText(resp.StatusCode) || problem.Detail == "" {
		t.Errorf("not the problem document of a %d: %s", resp.StatusCode, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestMiddlewareNamesTheScopes(t *testing.T) {
	verifier, issuer := newGuarded(t)
	policy := sdk.Policy{AllOf: []string{"inventory:write"}, AnyOf: []string{"region:north", "region:south"}}
	address := serve(t, verifier.Middleware(policy)(http.HandlerFunc(whoami)))
	resp, _ := call(t, http.MethodGet, address, bearer(issuer.Token(audience, "inventory:read")), "")
	want := `, scope="inventory:write region:north region:south"`
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusForbidden || !strings.HasSuffix(got, want) {
		t.Errorf("S08: %d %s, want 403 and %s", resp.StatusCode, got, want)
	}
}

func TestMiddlewareWhileTheServerIsDown(t *testing.T) {
	verifier, issuer := newGuarded(t)
	issuer.Down(true)
	address := serve(t, verifier.Middleware(sdk.Policy{})(http.HandlerFunc(whoami)))
	for _, token := range []string{issuer.Mint(sdktest.Claims{}), issuer.MintOpaque(sdktest.Claims{})} {
		resp, body := call(t, http.MethodGet, address, bearer(token), "")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("S15: %d %v", resp.StatusCode, resp.Header)
		}
		checkProblem(t, resp, body)
	}
}

func TestMiddlewareNested(t *testing.T) {
	verifier, issuer := newGuarded(t)
	group := http.NewServeMux()
	group.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PathValue("id"))
	})
	write := sdk.RequireScope("inventory:write")
	group.Handle("POST /items/{id}", verifier.HandlerFunc(write, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PathValue("id")+r.PostFormValue("amount"))
	}))
	address := serve(t, verifier.Middleware(sdk.RequireScope("inventory:read"))(group)) + "/items/7"

	for _, tt := range []struct {
		name, method string
		scopes       []string
		status       int
		body         string
	}{
		{name: "group alone", method: http.MethodGet, scopes: []string{"inventory:read"}, status: 200, body: "7"},
		{name: "group and route", method: http.MethodPost, scopes: []string{"inventory:read", "inventory:write"}, status: 200, body: "712"},
		{name: "not the route's", method: http.MethodPost, scopes: []string{"inventory:read"}, status: 403},
		{name: "not the group's", method: http.MethodPost, scopes: []string{"inventory:write"}, status: 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := bearer(issuer.Token(audience, tt.scopes...))
			header.Set("Content-Type", "application/x-www-form-urlencoded")
			resp, body := call(t, tt.method, address, header, "amount=12")
			if resp.StatusCode != tt.status || tt.body != "" && body != tt.body {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, tt.status, tt.body)
			}
		})
	}
}

func TestMiddlewareLeavesTheResponseWriterAlone(t *testing.T) {
	verifier, issuer := newGuarded(t)
	var got http.ResponseWriter
	guarded := verifier.Middleware(sdk.Policy{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w }))
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if guarded.ServeHTTP(w, r); got != w {
			t.Errorf("the handler has %T, not the server's %T", got, w)
		}
	}))
	call(t, http.MethodGet, address, bearer(issuer.Token(audience)), "")
}

// brokenBody fails once, after its text. Whoever reads on is told of an end that is none.
type brokenBody struct {
	io.Reader
	err    error
	closed bool
}

func (b *brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) && b.err != nil {
		err, b.err = b.err, nil
	}
	return n, err
}

func (b *brokenBody) Close() error {
	b.closed = true
	return nil
}

func TestVerifyRequestPutsTheBodyBack(t *testing.T) {
	verifier, issuer := newGuarded(t)
	long := "a=" + strings.Repeat("x", 100<<10)
	for _, tt := range []struct {
		name, body string
		err        error // of reading the body
	}{
		{name: "short", body: "a=b"},
		{name: "longer than what is looked at", body: long},
		{name: "a token beyond what is looked at", body: long + "&access_token=x"},
		{name: "one that breaks", body: "a=b", err: errors.New("broken")},
		{name: "one that breaks beyond what is looked at", body: long, err: errors.New("broken")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			original := &brokenBody{Reader: strings.NewReader(tt.body), err: tt.err}
			r := httptest.NewRequest(http.MethodPost, "/", original)
			r.Header = bearer(issuer.Token(audience))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			verified, err := verifier.VerifyRequest(r, sdk.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := verifier.VerifyRequest(verified, sdk.Policy{})
			if err != nil || again.Body != verified.Body {
				t.Errorf("a guard within a guard reads the body once more, %v", err)
			}
			got, err := io.ReadAll(verified.Body)
			if string(got) != tt.body || !errors.Is(err, tt.err) {
				t.Errorf("%d bytes, %v; want %d, %v", len(got), err, len(tt.body), tt.err)
			}
			if err := verified.Body.Close(); err != nil || !original.closed {
				t.Errorf("close: %v, %v", err, original.closed)
			}
		})
	}
}

func TestVerifyRequestDoesNotReadForStrangers(t *testing.T) {
	verifier, _ := newGuarded(t)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(url.Values{"a": {"b"}}.Encode()))
	r.Header = bearer("nonsense")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err := verifier.VerifyRequest(r, sdk.Policy{}); !errors.Is(err, sdk.ErrInvalidToken) {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r.Body); string(rest) != "a=b" || err != nil {
		t.Errorf("left of the body: %q, %v", rest, err)
	}
}

func TestVerifyRequestKeepsTheContext(t *testing.T) {
	type key struct{}
	verifier, issuer := newGuarded(t)
	ctx := context.WithValue(t.Context(), key{}, "kept")
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	r.Header = bearer(issuer.Token(audience, "inventory:read"))
	verified, err := verifier.VerifyRequest(r, sdk.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	identity, ok := sdk.FromContext(verified.Context())
	if !ok || identity.ClientID() != issuer.ClientID() || verified.Context().Value(key{}) != "kept" {
		t.Errorf("%v %v", identity, ok)
	}
	if _, ok := sdk.FromContext(r.Context()); ok {
		t.Error("the request that was given has changed")
	}
}

func BenchmarkMiddleware(b *testing.B) {
	verifier, issuer := newGuarded(b)
	h := verifier.Middleware(sdk.RequireScope("inventory:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/items?limit=10", nil)
	r.Header = bearer(issuer.Token(audience, "inventory:read"))
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
	if w.Code != http.StatusOK {
		b.Fatal(w.Code)
	}
}
