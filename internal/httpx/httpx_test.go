package httpx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

const docs = "https://docs.test/errors"

// edge returns a handler with a log that can be read once it has answered.
func edge(t *testing.T, h httpx.Handler, write httpx.FaultWriter, trusted ...string) (http.Handler, *bytes.Buffer) {
	t.Helper()
	proxies, err := httpx.ParseProxies(trusted)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	e := &httpx.Edge{Log: slog.New(slog.NewJSONHandler(&log, nil)), Proxies: proxies, Now: time.Now, Write: write}
	return e.Wrap(h.With(write)), &log
}

func failing(err error) httpx.Handler {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func request(target string) *http.Request {
	return httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
}

func codes() []fault.Code {
	return []fault.Code{
		fault.InvalidRequest, fault.InvalidClient, fault.UnauthorizedClient, fault.UnsupportedGrantType, fault.InvalidScope,
		fault.InvalidTarget, fault.InvalidToken, fault.InsufficientScope, fault.InvalidGrant, fault.InvalidProof, fault.UseNonce, fault.UnsupportedTokenType, fault.MethodNotAllowed,
		fault.UnsupportedMedia, fault.TooLarge, fault.TooMany, fault.NotFound, fault.Conflict, fault.Unavailable, fault.Internal,
	}
}

// What is wrong with an access token that came by the scheme DPoP is said by that scheme, and is 401 (RFC 9449 §7.1, §9).
func TestOAuthErrorsOfBoundTokens(t *testing.T) {
	for code, status := range map[fault.Code]int{fault.InvalidToken: 401, fault.InvalidProof: 401, fault.UseNonce: 401, fault.InsufficientScope: 403} {
		h, _ := edge(t, failing(fault.New(code, `it "is" so`).At("field")), httpx.OAuth(docs, "ES256", "EdDSA"))
		r := request("/")
		r.Header.Set("Authorization", "dpop token")
		w := answer(h, r)
		want := `DPoP realm="countersign", error="` + string(code) + `", error_description="it 'is' so", algs="ES256 EdDSA"`
		if code == fault.InsufficientScope {
			want += `, scope="field"`
		}
		if got := w.Header().Get("WWW-Authenticate"); w.Code != status || got != want {
			t.Errorf("%s: %d %q, want %q", code, w.Code, got, want)
		}
	}
}

func TestOAuthErrors(t *testing.T) {
	for _, tt := range []struct {
		code   fault.Code
		status int
		name   string
		header map[string]string
	}{
		{fault.InvalidRequest, 400, "invalid_request", nil},
		{fault.InvalidClient, 401, "invalid_client", map[string]string{"WWW-Authenticate": `Basic realm="countersign"`}},
		{fault.UnauthorizedClient, 400, "unauthorized_client", nil},
		{fault.UnsupportedGrantType, 400, "unsupported_grant_type", nil},
		{fault.InvalidScope, 400, "invalid_scope", nil},
		{fault.InvalidTarget, 400, "invalid_target", nil},
		{fault.InvalidToken, 401, "invalid_token", map[string]string{
			"WWW-Authenticate": `Bearer realm="countersign", error="invalid_token", error_description="it 'is' so"`,
		}},
		{fault.InsufficientScope, 403, "insufficient_scope", map[string]string{
			"WWW-Authenticate": `Bearer realm="countersign", error="insufficient_scope", error_description="it 'is' so", scope="field"`,
		}},
		{fault.InvalidProof, 400, "invalid_dpop_proof", nil},
		{fault.UseNonce, 400, "use_dpop_nonce", nil},
		{fault.UnsupportedTokenType, 400, "unsupported_token_type", nil},
		{fault.MethodNotAllowed, 405, "invalid_request", nil},
		{fault.UnsupportedMedia, 415, "invalid_request", nil},
		{fault.TooLarge, 413, "invalid_request", nil},
		{fault.TooMany, 429, "temporarily_unavailable", map[string]string{"Retry-After": "1"}},
		{fault.NotFound, 404, "invalid_request", nil},
		{fault.Conflict, 409, "invalid_request", nil},
		{fault.Unavailable, 503, "temporarily_unavailable", map[string]string{"Retry-After": "1"}},
		{fault.Internal, 500, "server_error", nil},
	} {
		t.Run(string(tt.code), func(t *testing.T) {
			h, _ := edge(t, failing(fault.Wrap(tt.code, `it "is" so`, errors.New("hidden cause")).At("field")), httpx.OAuth(docs))
			w := answer(h, request("/"))
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.status || body["error"] != tt.name || body["error_uri"] != docs+"#"+string(tt.code) {
				t.Errorf("got %d %v, want %d %s", w.Code, body, tt.status, tt.name)
			}
			want := map[string]string{
				"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache",
				"WWW-Authenticate": tt.header["WWW-Authenticate"], "Retry-After": tt.header["Retry-After"],
			}
			for name, value := range want {
				if got := w.Header().Get(name); got != value {
					t.Errorf("%s: got %q, want %q", name, got, value)
				}
			}
			if strings.Contains(w.Body.String(), "hidden") {
				t.Errorf("the cause is shown: %s", w.Body)
			}
			if tt.code == fault.Internal && strings.Contains(w.Body.String(), "is") && strings.Contains(w.Body.String(), "so\"") {
				t.Errorf("the detail of an internal error is shown: %s", w.Body)
			}
		})
	}
}

func TestEveryCodeHasOneTableEntry(t *testing.T) {
	for _, code := range codes() {
		if got := httpx.Status(code); got == http.StatusInternalServerError && code != fault.Internal {
			t.Errorf("%s is not in the table", code)
		}
	}
	if got := httpx.Status("made up"); got != http.StatusInternalServerError {
		t.Errorf("an unknown code is %d", got)
	}
}

func TestDescriptionsKeepToTheCharactersOfTheRFC(t *testing.T) {
	h, _ := edge(t, failing(fault.New(fault.InvalidRequest, "tab\there \"quoted\" back\\slash Müller \x7f")), httpx.OAuth(docs))
	var body struct {
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(answer(h, request("/")).Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if want := "tab?here 'quoted' back'slash M?ller ?"; body.Description != want {
		t.Errorf("got %q, want %q", body.Description, want)
	}
}

func TestProblems(t *testing.T) {
	h, _ := edge(t, failing(fault.New(fault.Conflict, "it changed").At("name")), httpx.Problems(docs))
	w := answer(h, request("/"))
	var got httpx.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := httpx.Problem{
		Type: docs + "#conflict", Title: "Conflict", Status: 409, Detail: "it changed", Code: "conflict", Field: "name",
		Request: w.Header().Get("X-Request-Id"),
	}
	if !reflect.DeepEqual(got, want) || want.Request == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBearerListenersChallengeWithoutACodeWhereNothingWasSent(t *testing.T) {
	for code, want := range map[fault.Code]string{
		fault.InvalidClient:     `Bearer realm="countersign"`,
		fault.InvalidToken:      `Bearer realm="countersign", error="invalid_token", error_description="no"`,
		fault.InsufficientScope: `Bearer realm="countersign", error="insufficient_scope", error_description="no", scope=""`,
		fault.InvalidRequest:    "",
	} {
		h, _ := edge(t, failing(fault.New(code, "no")), httpx.Problems(docs))
		if got := answer(h, request("/")).Header().Get("WWW-Authenticate"); got != want {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
}

func TestUnforeseenErrorsAreLoggedOnceAndNotShown(t *testing.T) {
	for name, h := range map[string]httpx.Handler{
		"error": failing(errors.New("the secret of the house")),
		"panic": func(http.ResponseWriter, *http.Request) error { panic("the secret of the house") },
	} {
		t.Run(name, func(t *testing.T) {
			handler, log := edge(t, h, httpx.OAuth(docs))
			w := answer(handler, request("/"))
			id := w.Header().Get("X-Request-Id")
			if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), id) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if got := strings.Count(log.String(), "the secret of the house"); got != 1 {
				t.Errorf("logged %d times: %s", got, log)
			}
			if !strings.Contains(log.String(), id) {
				t.Errorf("the log does not name request %s: %s", id, log)
			}
		})
	}
}

func TestAnAnswerThatHasBegunIsCutOffByAPanic(t *testing.T) {
	handler, _ := edge(t, func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half")
		panic("oh")
	}, httpx.OAuth(docs))
	server := httptest.NewServer(handler)
	defer server.Close()
	response, err := server.Client().Do(outgoing(t, server.URL))
	if err == nil {
		_, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looked whole")
	}
}

func outgoing(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnAbandonedRequestIsNoInternalError(t *testing.T) {
	handler, log := edge(t, func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() }, httpx.OAuth(docs))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answer(handler, request("/").WithContext(ctx))
	if strings.Contains(log.String(), `"ERROR"`) {
		t.Errorf("got %s", log)
	}
}

func TestAccessLog(t *testing.T) {
	handler, log := edge(t, func(w http.ResponseWriter, r *http.Request) error {
		x := httpx.From(r.Context())
		x.Route, x.Client = "/oauth2/token", "cl_1"
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "four")
		return nil
	}, httpx.OAuth(docs))
	r := request("/oauth2/token?client_secret=hunter2")
	r.Header.Set("Authorization", "Basic hunter2")
	w := answer(handler, r)
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	for name, want := range map[string]any{
		"request_id": w.Header().Get("X-Request-Id"), "method": "GET", "route": "/oauth2/token", "client_id": "cl_1",
		"status": 202.0, "bytes": 4.0, "address": "192.0.2.1",
	} {
		if line[name] != want {
			t.Errorf("%s: got %v, want %v", name, line[name], want)
		}
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("a secret is in the log: %s", log)
	}
}

func TestProbesAreQuiet(t *testing.T) {
	handler, log := edge(t, func(_ http.ResponseWriter, r *http.Request) error {
		httpx.From(r.Context()).Quiet = true
		return fault.New(fault.Unavailable, "draining")
	}, httpx.OAuth(docs))
	answer(handler, request("/readyz"))
	if log.Len() != 0 {
		t.Errorf("got %s", log)
	}
}

func TestAnUpgradeIsLogged(t *testing.T) {
	handler, log := edge(t, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusSwitchingProtocols)
		return nil
	}, httpx.OAuth(docs))
	answer(handler, request("/"))
	if !strings.Contains(log.String(), `"status":101`) {
		t.Errorf("got %s", log)
	}
}

func TestRequestIDs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		given   []string
		trusted []string
		kept    bool
	}{
		{name: "from a trusted proxy", given: []string{"Abc-1._"}, trusted: []string{"192.0.2.0/24"}, kept: true},
		{name: "from somebody", given: []string{"Abc-1._"}},
		{name: "from somebody beside the proxy", given: []string{"Abc-1._"}, trusted: []string{"192.0.2.7"}},
		{name: "with a line break", given: []string{"a\nb"}, trusted: []string{"192.0.2.1"}},
		{name: "too long", given: []string{strings.Repeat("a", 65)}, trusted: []string{"192.0.2.1"}},
		{name: "two", given: []string{"a", "b"}, trusted: []string{"192.0.2.1"}},
		{name: "empty", given: []string{""}, trusted: []string{"192.0.2.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler, _ := edge(t, failing(nil), httpx.OAuth(docs), tt.trusted...)
			r := request("/")
			r.Header["X-Request-Id"] = tt.given
			got := answer(handler, r).Header().Get("X-Request-Id")
			if kept := slices.Contains(tt.given, got); kept != tt.kept || got == "" {
				t.Errorf("got %q, want it kept: %t", got, tt.kept)
			}
		})
	}
}

func TestClientAddress(t *testing.T) {
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		trusted    []string
		want       string
	}{
		{name: "nobody is trusted", peer: "10.0.0.1:1", forwarded: []string{"1.2.3.4"}, want: "10.0.0.1"},
		{name: "a stranger sends it", peer: "10.0.0.1:1", forwarded: []string{"1.2.3.4"}, trusted: []string{"10.0.0.2"}, want: "10.0.0.1"},
		{name: "one proxy", peer: "10.0.0.1:1", forwarded: []string{"1.2.3.4"}, trusted: []string{"10.0.0.0/8"}, want: "1.2.3.4"},
		{name: "what the client claimed", peer: "10.0.0.1:1", forwarded: []string{"9.9.9.9, 1.2.3.4"}, trusted: []string{"10.0.0.0/8"}, want: "1.2.3.4"},
		{name: "two proxies", peer: "10.0.0.1:1", forwarded: []string{"9.9.9.9, 1.2.3.4", "10.0.0.2"}, trusted: []string{"10.0.0.0/8"}, want: "1.2.3.4"},
		{name: "proxies alone", peer: "10.0.0.1:1", forwarded: []string{"10.0.0.3"}, trusted: []string{"10.0.0.0/8"}, want: "10.0.0.3"},
		{name: "garbage", peer: "10.0.0.1:1", forwarded: []string{"1.2.3.4, unknown"}, trusted: []string{"10.0.0.0/8"}, want: "10.0.0.1"},
		{name: "no header", peer: "10.0.0.1:1", trusted: []string{"10.0.0.0/8"}, want: "10.0.0.1"},
		{name: "with a port", peer: "10.0.0.1:1", forwarded: []string{"1.2.3.4:567"}, trusted: []string{"10.0.0.0/8"}, want: "1.2.3.4"},
		{name: "version 6", peer: "[::1]:1", forwarded: []string{"2001:db8::1"}, trusted: []string{"::1"}, want: "2001:db8::1"},
		{name: "version 4 in 6", peer: "[::ffff:10.0.0.1]:1", forwarded: []string{"1.2.3.4"}, trusted: []string{"10.0.0.1"}, want: "1.2.3.4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxies, err := httpx.ParseProxies(tt.trusted)
			if err != nil {
				t.Fatal(err)
			}
			r := request("/")
			r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.peer, tt.forwarded
			if got := proxies.Client(r).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestProxiesThatAreNone(t *testing.T) {
	if _, err := httpx.ParseProxies([]string{"10.0.0.0/33"}); err == nil || !strings.Contains(err.Error(), "10.0.0.0/33") {
		t.Errorf("got %v", err)
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "1.2.3.4, 10.0.0.2")
	f.Add("[::1]:1", " , ,::ffff:1.2.3.4%eth0")
	proxies, err := httpx.ParseProxies([]string{"10.0.0.0/8", "::1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		r := request("/")
		r.RemoteAddr, r.Header["X-Forwarded-For"] = peer, []string{forwarded}
		got := proxies.Client(r)
		if !proxies.Trusts(r) {
			r.Header.Del("X-Forwarded-For")
			if without := proxies.Client(r); without != got {
				t.Errorf("an untrusted peer changed %s to %s", without, got)
			}
		}
	})
}

func TestEveryCodeIsExplained(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes() {
		if !strings.Contains(string(page), "\n## "+string(code)+"\n") {
			t.Errorf("docs/errors.md has no section for %s", code)
		}
	}
}
