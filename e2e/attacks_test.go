package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
)

// startAttacked starts a server on MariaDB, with an administrator's token.
func startAttacked(t *testing.T, settings ...string) *searched {
	t.Helper()
	s := &searched{T: t, seeded: newSeeded(t, "mariadb")}
	made, err := seed.Client(t.Context(), s.seeded.Registry, seed.Admin())
	if err != nil {
		t.Fatal(err)
	}
	s.admin = credential{ID: made.ID.String(), Secret: made.Secret.Reveal()}
	s.serverProcess = startInstance(t, s.seeded, settings...)
	s.bearer = token(t, s.URL, s.admin, url.Values{"resource": {auth.AdminAPI}})
	return s
}

// ask sends a form with these headers, and no credentials but theirs.
func (s *searched) ask(path string, form url.Values, header http.Header) answer {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.Fatal(err)
	}
	request.Header = header.Clone()
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	got, err := do(request)
	if err != nil {
		s.Fatal(err)
	}
	return got
}

// authenticated are the endpoints at which a client authenticates, with a form that each takes.
func authenticated(token string) map[string]url.Values {
	return map[string]url.Values{
		"/oauth2/token":      {"grant_type": {"client_credentials"}},
		"/oauth2/introspect": {"token": {token}},
		"/oauth2/revoke":     {"token": {token}},
	}
}

// Attacks 15, 18, 29 and 31 on a server that is set up for secrets alone: proofs of a client with a secret prove nothing, and what is not there is not
// promised.
func TestAttackByProofsOfOtherMethods(t *testing.T) {
	t.Parallel()
	s := startAttacked(t)
	good := token(t, s.URL, s.seeded.Caller, url.Values{"resource": {jwtAPI}})
	key := newTestKey(t, "k1")
	headers := map[string]http.Header{
		"attack 15, an assertion":            {},
		"attack 18, a token as an assertion": {},
		"attack 29, the scheme DPoP":         {"Authorization": {"DPoP " + good}, "Dpop": {"e30.e30.AA"}},
		"attack 31, a certificate's header": {
			"Client-Cert": {":AAAA:"}, "X-Client-Cert": {"AAAA"}, "X-Forwarded-Client-Cert": {"Subject=\"CN=root\""}, "X-Client-Id": {s.seeded.Caller.ID},
		},
	}
	for name, header := range headers {
		for path, form := range authenticated(good) {
			form.Set("client_id", s.seeded.Caller.ID)
			if len(header) == 0 {
				form.Set("client_assertion_type", auth.JWTBearer)
				form.Set("client_assertion", good)
			}
			if strings.HasPrefix(name, "attack 15") {
				form.Set("client_assertion", key.assertion(t, s.seeded.Caller.ID, nil, nil))
			}
			got := s.ask(path, form, header)
			if code := got.Text("error"); got.Status != http.StatusUnauthorized || code != "invalid_client" && code != "invalid_dpop_proof" {
				t.Errorf("%s at %s: %d %s", name, path, got.Status, got.Body)
			}
		}
	}
	if !active(t, s.URL, s.seeded.Server, good) {
		t.Error("a token was taken back by somebody who proved nothing")
	}
	metadata, err := get(t.Context(), s.URL+"/.well-known/oauth-authorization-server")
	if err != nil {
		t.Fatal(err)
	}
	for _, promise := range []string{"client_secret_jwt", "tls_client", "spiffe_x509", "mtls_endpoint_aliases"} { // M06
		if strings.Contains(string(metadata.Body), promise) {
			t.Errorf("the metadata promises %s", promise)
		}
	}
}

// Attack 36: what is code in some language is text here.
func TestAttackByInjection(t *testing.T) {
	t.Parallel()
	redis := testbed.Redis(t).URL()
	s, canary := startAttacked(t, "token-store="+redis), redisClient(t, redis)
	if err := canary.Set(t.Context(), "cst:canary", "alive", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	clients, _ := s.call(http.MethodGet, "/clients?limit=200", nil)
	for _, text := range []string{
		"' OR '1'='1' -- ", `" OR ""="`, "'; DROP TABLE tokens; --", "1 UNION SELECT * FROM secrets", `\' OR 1=1 #`, "%", "_", "*", `{"$ne": null}`,
		"\r\nX-Injected: yes\r\n\r\n", "x\r\nFLUSHALL\r\n", "*1\r\n$8\r\nFLUSHALL\r\n", "a\x00b", "../../../etc/passwd", "${jndi:ldap://127.0.0.1/}", "{{7*7}}",
	} {
		basic := func(id, secret string) http.Header {
			r := http.Request{Header: http.Header{}}
			r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
			return r.Header
		}
		good := basic(s.seeded.Caller.ID, s.seeded.Caller.Secret)
		for where, got := range map[string]answer{
			"client_id": s.ask("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, basic(text, s.seeded.Caller.Secret)),
			"secret":    s.ask("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, basic(s.seeded.Caller.ID, text)),
			"scope":     s.ask("/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "scope": {text}}, good),
			"resource":  s.ask("/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "resource": {text}}, good),
			"grant":     s.ask("/oauth2/token", url.Values{"grant_type": {text}}, good),
		} {
			if got.Status < 400 || got.Status >= 500 || got.Header.Get("X-Injected") != "" {
				t.Errorf("%q as %s: %d %s", text, where, got.Status, got.Body)
			}
		}
		for _, presented := range []string{text, "cs_at_" + text} {
			got := s.ask("/oauth2/introspect", url.Values{"token": {presented}}, basic(s.seeded.Server.ID, s.seeded.Server.Secret))
			if got.Status != http.StatusBadRequest && strings.TrimSpace(string(got.Body)) != `{"active":false}` {
				t.Errorf("%q as a token: %d %s", presented, got.Status, got.Body)
			}
		}
		if status, body := s.call(http.MethodGet, "/clients?name="+url.QueryEscape(text), nil); status == http.StatusOK && !strings.Contains(string(body), `"items":[]`) || status >= 500 {
			t.Errorf("%q as a filter: %d %s", text, status, body)
		}
		if status, body := s.call(http.MethodGet, "/clients/"+url.PathEscape(text), nil); status < 400 || status >= 500 {
			t.Errorf("%q as an id: %d %s", text, status, body)
		}
	}
	if status, _ := s.call(http.MethodGet, "/clients?limit=200", nil); status != clients || clients != http.StatusOK {
		t.Errorf("the clients are gone: %d", status)
	}
	if got := canary.Get(t.Context(), "cst:canary").Val(); got != "alive" {
		t.Errorf("the token store has lost what was in it: %q", got)
	}
	if !active(t, s.URL, s.seeded.Server, token(t, s.URL, s.seeded.Caller, url.Values{"resource": {opaqueAPI}})) {
		t.Error("tokens are no longer issued")
	}
}

// Attack 37: nobody writes a line of the log that is not his, nor paints on the operator's terminal.
func TestAttackByLogLines(t *testing.T) {
	t.Parallel()
	s := startServer(t, newSeeded(t, "sqlite").Settings("log-level=debug")...)
	const forged = "x\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\x1b[2J\x1b[31m\u2028\u009b"
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/" + url.PathEscape(forged)} {
		_, err := post(t.Context(), s.URL+path, credential{ID: forged, Secret: forged}, url.Values{"grant_type": {forged}, "scope": {forged}, "token": {forged}})
		if err != nil {
			t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/oauth2/token?"+url.QueryEscape(forged), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"User-Agent": {"\x9b31m"}, "X-Request-Id": {"a\x9bb"}, "X-Forwarded-For": {"\x9b"}}
	if _, err := do(request); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	lines := 0
	for line := range strings.Lines(s.out.String()) {
		if firstLine.MatchString(line) {
			continue // not of the log
		}
		lines++
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "forged" || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\n\x1b\u2028\u009b") {
			t.Errorf("line %q: %v", line, err)
		}
	}
	if lines < 4 {
		t.Errorf("%d lines", lines)
	}
}

// Attack 38: nobody makes a server fetch from inside what he names. What is registered all the same is not dialled, as TestStrongAuthentication sees.
func TestAttackByAddressesToFetch(t *testing.T) {
	t.Parallel()
	s := startAttacked(t)
	inside := startEcho(t)
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(inside.addr, ":")
	for _, address := range []string{
		"http://" + inside.addr + "/latest/meta-data", "https://" + inside.addr, "https://localhost:" + port, "https://a.localhost:" + port, "https://2130706433:" + port,
		"https://127.1:" + port, "https://[::1]:" + port, "https://[::ffff:127.0.0.1]:" + port, "https://0:" + port, "https://169.254.169.254", "https://10.0.0.1", "https://[fd00:ec2::254]",
		"https://0x7f.1", "https://0177.0.0.1", "https://0.0.0.0", "https://100.64.0.1", "https://192.168.1.1", "https://[fe80::1]", "//example.com/jwks", "jwks",
		"https://a@" + inside.addr, "https://" + own + ":" + port, "file:///etc/passwd", "gopher://127.0.0.1/", "http://example.com/keys",
	} {
		for _, tt := range []struct {
			path, member string
			body         map[string]any
		}{
			{"/clients", "jwks_uri", map[string]any{"name": "curious", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": address}},
			{"/clients", "jwks_uri", map[string]any{"name": "curious", "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": address}},
			{"/trusted-issuers", "jwks_uri", map[string]any{"name": "curious", "issuer": "https://issuer.test", "jwks_uri": address}},
			{"/trusted-issuers", "issuer", map[string]any{"name": "curious", "issuer": address}}, // its metadata would be fetched
			{"/trusted-issuers", "jwks_uri", map[string]any{"name": "curious", "issuer": "spiffe://example.org", "kind": "spiffe", "jwks_uri": address}},
		} {
			status, answer := s.call(http.MethodPost, tt.path, tt.body)
			if status != http.StatusBadRequest || !strings.Contains(string(answer), "#/"+tt.member) {
				t.Errorf("%s at %s: %d %s", address, tt.path, status, answer)
			}
		}
	}
	for _, member := range []string{"logo_uri", "sector_identifier_uri", "initiate_login_uri"} {
		status, body := s.call(http.MethodPost, "/clients", map[string]any{"name": "curious", member: "http://" + inside.addr + "/latest/meta-data"})
		if status != http.StatusBadRequest || !strings.Contains(string(body), "#/"+member) {
			t.Errorf("%s: %d %s", member, status, body)
		}
	}
	inside.none(t)
}

// Attack 39: a body sets what the operation lets it set.
func TestAttackByMembersThatAreNotTheCallers(t *testing.T) {
	t.Parallel()
	s := startAttacked(t)
	for member, value := range map[string]any{
		"client_id": "cl_0000000000000000000000", "id": "x", "created_at": "2020-01-01T00:00:00Z", "last_used_at": "2020-01-01T00:00:00Z", "revision": 1,
		"secrets": []string{"x"}, "grants": []map[string]any{{"api": auth.AdminAPI, "scopes": []string{"clients:write"}}}, "scopes": []string{"clients:write"}, "is_admin": true,
	} {
		status, body := s.call(http.MethodPost, "/clients", map[string]any{"name": "eager", member: value})
		if status != http.StatusBadRequest || !strings.Contains(string(body), fmt.Sprintf("%q", "#/"+member)) {
			t.Errorf("%s: %d %s", member, status, body)
		}
	}
}

// Attack 40: a page of somebody else's, open in an administrator's browser, gets nothing out of the admin listener.
func TestAttackByBrowsers(t *testing.T) {
	t.Parallel()
	s := startAttacked(t)
	for _, origin := range []string{"https://evil.test", "null", s.AdminURL} {
		header := http.Header{"Origin": {origin}, "Cookie": {"token=" + s.bearer}, "Sec-Fetch-Site": {"cross-site"}}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"} {
			for _, withToken := range []bool{false, true} {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.AdminURL+"/admin/v1/clients", strings.NewReader(`{"name":"forged"}`))
				if err != nil {
					t.Fatal(err)
				}
				request.Header, request.Header["Content-Type"] = header.Clone(), []string{kind}
				want := http.StatusUnauthorized
				if withToken {
					request.Header.Set("Authorization", "Bearer "+s.bearer)
					want = http.StatusUnsupportedMediaType
				}
				got, err := do(request)
				if err != nil {
					t.Fatal(err)
				}
				if got.Status != want || got.Header.Get("Access-Control-Allow-Origin") != "" || got.Header.Get("Set-Cookie") != "" {
					t.Errorf("%s from %s: %d %v", kind, origin, got.Status, got.Header)
				}
			}
		}
	}
	page, err := get(t.Context(), s.AdminURL+"/admin/v1/docs")
	if err != nil {
		t.Fatal(err)
	}
	policy := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || page.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", page.Status, page.Header)
	}
}
