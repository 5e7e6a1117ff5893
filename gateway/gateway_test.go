package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

const inventory = `
routes:
  - name: read
    match: {prefix: /items, methods: [GET]}
    authentication: introspect
    audience: https://inventory.test
    all_of: [inventory:read]
    pool: echo
  - name: write
    match: {prefix: /items, methods: [POST]}
    authentication: jwt
    audience: https://inventory.test
    any_of: [inventory:write, inventory:admin]
    mode: strict
    token: drop
    pool: echo
    rewrite: {strip_prefix: /items, add_prefix: /v1/stock, host: stock.internal}
    max_body: 16
  - name: few
    match: {path: /few}
    authentication: jwt
    audience: https://inventory.test
    clients: [cl_few]
    pool: echo
  - {name: guessed, match: {path: /guessed}, authentication: jwt, audience: "https://inventory.test", pool: echo, rate_limit: {requests: 2, per: 1h, by: address}}
  - {name: open, match: {prefix: /open}, authentication: none, pool: echo, rewrite: {path: /fixed%20path}}
`

func TestWhoIsLetIn(t *testing.T) {
	w := start(t)
	read, opaque := w.issuer.Token(api, "inventory:read"), w.issuer.MintOpaque(sdktest.Claims{Audience: []string{api}, Scopes: []string{"inventory:read"}})
	for _, tt := range []struct {
		name, method, path string
		header             http.Header
		status             int
		code, challenge    string // challenge: a part of it
	}{
		{"JWT", "GET", "/items/7", bearing(read), 200, "", ""},
		{"opaque", "GET", "/items/7", bearing(opaque), 200, "", ""},
		{"lower-case scheme", "GET", "/items", http.Header{"Authorization": {"bearer " + read}}, 200, "", ""},
		{"no token", "GET", "/items", nil, 401, "no_token", `Bearer realm="https://inventory.test"`},
		{"Basic", "GET", "/items", http.Header{"Authorization": {"Basic eDp5"}}, 401, "no_token", "Bearer realm="},
		{"malformed", "GET", "/items", http.Header{"Authorization": {"Bearer a b"}}, 400, "invalid_request", `error="invalid_request"`},
		{"garbage", "GET", "/items", bearing("x.y.z"), 401, "invalid_token", `error="invalid_token"`},
		{"wrong audience", "GET", "/items", bearing(w.issuer.Token("https://other.test", "inventory:read")), 401, "invalid_token", ""},
		{"missing scope", "GET", "/items", bearing(w.issuer.Token(api, "inventory:write")), 403, "insufficient_scope", `scope="inventory:read"`},
		{"two headers", "GET", "/items", http.Header{"Authorization": {"Bearer " + read, "Bearer " + read}}, 400, "invalid_request", ""},
		{"two headers, open route", "GET", "/open", http.Header{"Authorization": {"Bearer x", "Bearer y"}}, 400, "invalid_request", ""},
		{"header and query", "GET", "/items?access_token=" + read, bearing(read), 400, "invalid_request", ""},
		{"query alone", "GET", "/items?access_token=" + read, nil, 401, "no_token", ""},
		{"opaque where a JWT is wanted", "POST", "/items", bearing(opaque), 401, "invalid_token", ""},
		{"one of the scopes", "POST", "/items", bearing(w.issuer.Token(api, "inventory:admin")), 200, "", ""},
		{"another client", "GET", "/few", bearing(read), 403, "forbidden", "Bearer realm="},
		{"the client", "GET", "/few", bearing(w.issuer.Mint(sdktest.Claims{ClientID: "cl_few", Audience: []string{api}})), 200, "", ""},
		{"anybody", "GET", "/open", nil, 200, "", ""},
		{"no route", "GET", "/nowhere", bearing(read), 404, "not_found", ""},
		{"no method", "DELETE", "/items", bearing(read), 405, "method_not_allowed", ""},
		{"encoded slash", "GET", "/items%2fx", bearing(read), 400, "invalid_request", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.send(t, tt.method, tt.path, "", tt.header)
			if got.status != tt.status || !strings.Contains(got.header.Get("WWW-Authenticate"), tt.challenge) {
				t.Fatalf("%d %v %s", got.status, got.header, got.body)
			}
			if got.header.Get("X-Request-Id") == "" || got.header.Get("X-Content-Type-Options") != "nosniff" || len(got.header["X-Request-Id"]) != 1 || got.header["Server"] != nil || got.header["X-Powered-By"] != nil {
				t.Errorf("%v", got.header)
			}
			if tt.status == http.StatusOK {
				return
			}
			p := got.problem(t)
			if p.Code != tt.code || p.Request != got.header.Get("X-Request-Id") || !strings.HasSuffix(p.Type, "#"+tt.code) || p.Detail == "" {
				t.Errorf("%+v", p)
			}
			if got.header.Get("Cache-Control") != "no-store" || tt.status == 405 && got.header.Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("%v", got.header)
			}
		})
	}
	if text := w.log.String(); strings.Contains(text, read) || strings.Contains(text, opaque) || strings.Contains(text, w.issuer.ClientSecret()) {
		t.Error("a credential is in the log")
	}
}

// What the upstream gets: the canonical path, who calls, and nothing of what the client says about that.
func TestWhatTheUpstreamGets(t *testing.T) {
	w := start(t)
	token := w.issuer.Mint(sdktest.Claims{ClientID: "cl_a", Subject: "alice", Audience: []string{api}, Scopes: []string{"inventory:read", "inventory:write"}})
	spoofed := http.Header{
		"X-Client-Id": {"cl_root"}, "X_Client_Id": {"cl_root"}, "x-client_subject": {"root"}, "X-Client-Scope": {"all"}, "X-Token-Id": {"1"},
		"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"gopher"}, "Forwarded": {"for=6.6.6.6"},
		"X-Real-Ip": {"6.6.6.6"}, "Client-Cert": {":AA==:"}, "Client_Cert": {":AA==:"}, "X-Request-Id": {"mine"}, "Baggage": {"a=b"},
		"Tracestate": {"a=b"}, "Traceparent": {"nonsense"}, "Connection": {"X-Client-Id, X-Keep"}, "X-Keep": {"no"}, "X-Other": {"yes"},
	}
	spoofed["Authorization"] = []string{"Bearer " + token}
	got := w.send(t, "GET", "//items/./%61?b;c&d=%zz", "", spoofed).told(t)
	if got.Path != "/items/a" || got.Query != "b;c&d=%zz" || got.Method != "GET" {
		t.Errorf("%+v", got)
	}
	want := map[string]string{
		"X-Client-Id": "cl_a", "X-Client-Subject": "alice", "X-Client-Scope": "inventory:read inventory:write", "X-Client-Issuer": w.issuer.URL(),
		"Authorization": "Bearer " + token, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Other": "yes",
	}
	for name, value := range want {
		if values := got.Header[name]; len(values) != 1 || values[0] != value {
			t.Errorf("%s: %q, want %q", name, values, value)
		}
	}
	for name, values := range got.Header {
		for _, value := range values {
			if strings.Contains(value, "root") || strings.Contains(value, "6.6.6.6") || strings.Contains(value, "evil") || value == "mine" || value == "nonsense" {
				t.Errorf("%s: %s reached the upstream", name, value)
			}
		}
	}
	for _, name := range []string{"X_Client_Id", "Client-Cert", "Client_Cert", "Baggage", "Tracestate", "X-Keep", "Forwarded", "X-Real-Ip"} {
		if got.Header[name] != nil {
			t.Errorf("%s reached the upstream: %q", name, got.Header[name])
		}
	}
	if len(got.Header.Get("Traceparent")) != 55 || len(got.Header["X-Token-Id"]) != 1 {
		t.Errorf("%v", got.Header)
	}

	rewritten := w.send(t, "POST", "/items/7/", "16 bytes of body", bearing(token)).told(t)
	if rewritten.Path != "/v1/stock/7/" || rewritten.Host != "stock.internal" || rewritten.Body != "16 bytes of body" || rewritten.Header["Authorization"] != nil || rewritten.Header.Get("X-Client-Id") != "cl_a" {
		t.Errorf("%+v", rewritten)
	}
	if one := w.send(t, "POST", "/items", "", bearing(token)).told(t); one.Path != "/v1/stock" {
		t.Errorf("%+v", one)
	}
	open := w.send(t, "GET", "/open/x", "", http.Header{"X-Client-Id": {"cl_root"}, "Authorization": {"Basic eDp5"}}).told(t)
	if open.Path != "/fixed%20path" || open.Header["X-Client-Id"] != nil || open.Header.Get("Authorization") != "Basic eDp5" {
		t.Errorf("%+v", open)
	}
	if large := w.send(t, "POST", "/items", "17 bytes of body!", bearing(token)); large.status != http.StatusRequestEntityTooLarge || large.problem(t).Code != "too_large" {
		t.Errorf("%d %s", large.status, large.body)
	}
	await(t, "line of the refusal", func() bool { return strings.Contains(w.log.String(), `"refused":"too_large"`) })
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, `"refused":"too_large"`) && strings.Contains(line, `"upstream"`) {
			t.Errorf("the upstream was asked: %s", line)
		}
	}
}

// What a trusted proxy says of the client goes on.
func TestBehindATrustedProxy(t *testing.T) {
	w := start(t, "127.0.0.1")
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	got := w.send(t, "GET", "/open", "", http.Header{
		"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Host": {"www.test"}, "X-Forwarded-Proto": {"https"}, "X-Request-Id": {"from-the-proxy"},
		"Traceparent": {parent}, "Tracestate": {"a=b"}, "Baggage": {"c=d"}, "X-Client-Id": {"cl_root"},
	})
	h := got.told(t).Header
	for name, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.7, 127.0.0.1", "X-Forwarded-Host": "www.test", "X-Forwarded-Proto": "https", "X-Request-Id": "from-the-proxy",
		"Traceparent": parent, "Tracestate": "a=b", "Baggage": "c=d", "X-Client-Id": "",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	if got.header.Get("X-Request-Id") != "from-the-proxy" {
		t.Errorf("%v", got.header)
	}
}

func TestAccessLog(t *testing.T) {
	w := start(t)
	token := w.issuer.Mint(sdktest.Claims{ClientID: "cl_a", Audience: []string{api}, Scopes: []string{"inventory:read"}})
	for range 2 {
		w.send(t, "GET", "/items/7?secret=planted", "", bearing(token)).told(t)
	}
	w.send(t, "GET", "/items/7", "", nil)
	lines := w.lines(t, "request", 3)
	for name, want := range map[string]any{"route": "read", "client_id": "cl_a", "method": "GET", "status": 200.0, "level": "INFO", "attempts": 1.0} {
		if lines[1][name] != want {
			t.Errorf("%s: %v, want %v", name, lines[1][name], want)
		}
	}
	for _, name := range []string{"request_id", "duration_us", "auth_us", "upstream_us", "upstream", "trace_id", "bytes", "address"} {
		if lines[1][name] == nil {
			t.Errorf("the line does not have %s: %v", name, lines[1])
		}
	}
	if lines[2]["status"] != 401.0 || lines[2]["refused"] != "no_token" || lines[2]["reason"] == nil || lines[2]["upstream"] != nil {
		t.Errorf("%v", lines[2])
	}
	if strings.Contains(w.log.String(), "planted") || strings.Contains(w.log.String(), token) {
		t.Error("query or token are in the log")
	}
}

// lines returns the first n lines of the log with this message.
func (w *world) lines(t testing.TB, message string, n int) (found []map[string]any) {
	t.Helper()
	await(t, "line in the log", func() bool {
		found = nil
		for text := range strings.Lines(w.log.String()) {
			line := map[string]any{}
			if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
				found = append(found, line)
			}
		}
		return len(found) >= n
	})
	return found
}

// A limit by address counts before the token is looked at, so that guessing ends.
func TestGuessingIsLimited(t *testing.T) {
	w := start(t)
	for _, want := range []int{401, 401, 429, 429} {
		if got := w.send(t, "GET", "/guessed", "", bearing("x.y.z")); got.status != want || (want == 429) != (got.header.Get("Retry-After") != "") {
			t.Errorf("%d %s, want %d", got.status, got.body, want)
		}
	}
}
