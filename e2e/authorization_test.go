package e2e

import (
	"bufio"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// authorizer is a `countersign gateway` that decides for other proxies.
type authorizer struct {
	*program

	addr   string
	admin  string
	folder string
}

// startAuthorizer serves decisions by tokens of the server.
func startAuthorizer(t *testing.T, s *serverProcess, c credential) *authorizer {
	t.Helper()
	a := &authorizer{addr: up.Address(testbed.FreePort(t)), admin: up.Address(testbed.FreePort(t)), folder: t.TempDir()}
	text := `
listeners: [{name: authorization, address: "` + a.addr + `", serves: authorization}]
admin: {address: "` + a.admin + `"}
issuers: {main: {url: "` + s.Issuer + `", client_id: ` + c.ID + `, client_secret_file: ` + secretFile(t, c.Secret) + `}}
routes:
  - {name: read, match: {prefix: /orders, methods: [GET]}, authentication: jwt, audience: "` + jwtAPI + `", all_of: [read], mode: strict}
  - {name: write, match: {prefix: /orders, methods: [POST]}, authentication: jwt, audience: "` + jwtAPI + `", all_of: [write], mode: strict}
  - {name: stock, match: {prefix: /stock}, authentication: introspect, audience: "` + opaqueAPI + `", all_of: [read], mode: strict}
  - {name: admin, match: {prefix: /admin}, authentication: jwt, audience: "` + jwtAPI + `", all_of: [write], mode: strict}
  - {name: report, match: {path: /report}, authentication: jwt, audience: "` + jwtAPI + `", all_of: [write], mode: strict}
  - {name: open, match: {prefix: /}, authentication: none}
`
	if err := os.WriteFile(filepath.Join(a.folder, "gateway.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	return a
}

func (a *authorizer) start(t *testing.T) {
	t.Helper()
	a.program = startProgram(t, a.folder, nil, "gateway", "--config", "gateway.yaml")
	testbed.Wait(t, startWithin, func() error {
		got, err := get(t.Context(), "http://"+a.admin+"/readyz")
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("not ready: %d %s", got.Status, got.Body)
		}
		return err
	})
}

// behind is a service behind a proxy that asks a real gateway.
type behind struct {
	proxy   *asker
	gateway *authorizer
	service *echo
	server  *serverProcess
	seeded  *seeded
	tokens  []string // that were sent
}

// TestExternalAuthorization puts every proxy in front of a service.
func TestExternalAuthorization(t *testing.T) {
	s := newSeeded(t, "sqlite")
	server := startServer(t, s.Settings()...)
	for _, kind := range proxyKinds() {
		t.Run(kind.name, func(t *testing.T) {
			b := &behind{server: server, seeded: s, service: startEcho(t), gateway: startAuthorizer(t, server, s.Server)}
			b.proxy = kind.start(t, b.gateway.addr, b.service.addr)
			t.Run("who may", b.letsInWhoMay)
			t.Run("who may not", b.keepsOut)
			t.Run("spellings", b.knowsSpellings)
			t.Run("revoked", b.refusesWhatIsRevoked)
			t.Run("gateway down", b.refusesWhileTheGatewayIsDown)
			b.keepsTokensToItself(t)
		})
	}
}

// token gets a token, for the proxy must not print it.
func (b *behind) token(t *testing.T, api, scope string) string {
	t.Helper()
	text := token(t, b.server.URL, b.seeded.Caller, asking(api, scope))
	b.tokens = append(b.tokens, text)
	return text
}

func (b *behind) letsInWhoMay(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 20<<10) // longer than any buffer
	for _, tt := range []struct{ name, method, uri, api, scope, body string }{
		{"JWT", http.MethodGet, "/orders/7?x=%2F..", jwtAPI, "read", ""},
		{"JWT, with a body", http.MethodPost, "/orders", jwtAPI, "read write", long},
		{"opaque", http.MethodGet, "/stock", opaqueAPI, "read", ""},
		{"anybody", http.MethodPost, "/hello", "", "", "hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, authorization := http.Header{}, ""
			if tt.api != "" {
				text := b.token(t, tt.api, tt.scope)
				authorization = "Bearer " + text
				for _, name := range []string{"X-Client-Id", "X-Client-Subject"} {
					want.Set(name, b.seeded.Caller.ID)
				}
				want.Set("X-Client-Scope", tt.scope)
				want.Set("X-Client-Issuer", b.server.Issuer)
				want.Set("X-Token-Id", introspect(t, b.server.URL, b.seeded.Server, text).Text("jti"))
			}
			got := b.proxy.send(t, tt.method, tt.uri, authorization, tt.body)
			if got.Status != http.StatusOK {
				t.Fatalf("answer %d %v %s", got.Status, got.Header, got.Body)
			}
			seen := b.service.one(t)
			if seen.Method != tt.method || seen.URI != tt.uri || seen.Body != tt.body {
				t.Errorf("the service saw %s %s with %d bytes", seen.Method, seen.URI, len(seen.Body))
			}
			seen.expectIdentity(t, want)
		})
	}
}

func (b *behind) keepsOut(t *testing.T) {
	read := b.token(t, jwtAPI, "read")
	for _, tt := range []struct {
		name, method, uri, authorization string
		status                           int
		challenge                        string // all that must be in it
	}{
		{"no token", http.MethodGet, "/orders", "", 401, `Bearer realm="` + jwtAPI + `"`},
		{"no scope", http.MethodPost, "/orders", "Bearer " + read, 403, `Bearer error="insufficient_scope" scope="write"`},
		{"garbage", http.MethodGet, "/orders", "Bearer x.y.z", 401, `Bearer error="invalid_token"`},
		{"for another audience", http.MethodGet, "/stock", "Bearer " + read, 401, `Bearer error="invalid_token"`},
		{"another scheme", http.MethodGet, "/orders", "Basic eDp5", 401, "Bearer"},
		{"another method", http.MethodDelete, "/orders", "Bearer " + read, 405, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := b.proxy.send(t, tt.method, tt.uri, tt.authorization, "body")
			b.service.none(t)
			if got.Status != tt.status || len(got.Header["Www-Authenticate"]) > 1 {
				t.Errorf("answer %d %v", got.Status, got.Header)
			}
			for part := range strings.FieldsSeq(tt.challenge) {
				if !strings.Contains(got.Header.Get("Www-Authenticate"), part) {
					t.Errorf("challenge %q, want %s", got.Header["Www-Authenticate"], part)
				}
			}
			if got.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("an answer of %s", got.Header.Get("Content-Type"))
			}
		})
	}
	t.Run("two tokens", func(t *testing.T) {
		status := b.raw(t, "GET /orders HTTP/1.1", "Authorization: Bearer "+read, "Authorization: Bearer "+read)
		b.service.none(t)
		if status != http.StatusBadRequest {
			t.Errorf("answer %d", status)
		}
	})
}

// knowsSpellings asks without a token for what nobody may have without one, where all else is open.
func (b *behind) knowsSpellings(t *testing.T) {
	for _, uri := range []string{
		"/admin", "/admin/", "/admin/users", "/admin?", "/admin?x", "/report", "/report/", "/report?x",
		"/a/../admin", "/a/../../admin", "/./admin", "//admin", "///admin", "/a//../admin", "/%2e%2e/", "/%2e%2e/admin", "/a/%2E./admin", "/%61dmin", "/%2fadmin",
		"/a/..%2fadmin", "/a%5c..%5cadmin", `/a\..\admin`, `/\admin`, "/admin;x", "/a;/../admin", "/ADMIN", "/Report", "/%2561dmin",
		"/admin%00", "/report%00", "/admin#", "/report#", "/report#/../x", "/x#/../admin", "/%c0%ae%c0%ae/admin", "/\xc0\xae\xc0\xae/admin",
		"http://other.test/admin", "http://other.test//admin", "http://other.test/a/../report",
	} {
		status := b.raw(t, "GET "+uri+" HTTP/1.1")
		seen := b.service.take()
		if len(seen) == 1 && strings.Contains(uri, "#") && seen[0].URI == strings.ReplaceAll(uri, "#", "%23") {
			continue // a resource of another name, for which both were asked
		}
		if len(seen) != 0 || status < 400 || status > 499 {
			t.Errorf("%q: answer %d, the service saw %+v", uri, status, seen)
		}
	}
	for _, uri := range []string{"/", "/hello", "/hello?/../admin", "/adminx", "/hello/%20", "/.well-known/x"} {
		status := b.raw(t, "GET "+uri+" HTTP/1.1")
		if seen := b.service.take(); len(seen) != 1 || seen[0].URI != uri || status != http.StatusOK {
			t.Errorf("%q: answer %d, the service saw %+v", uri, status, seen)
		}
	}
}

// raw sends a request without a body as it is, and returns the answer's status.
func (b *behind) raw(t *testing.T, lines ...string) (status int) {
	t.Helper()
	conn, err := net.Dial("tcp", b.proxy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(endWithin))
	lines = slices.Insert(lines, 1, "Host: other.test", "Connection: close")
	if _, err := fmt.Fprintf(conn, "%s\r\n\r\n", strings.Join(lines, "\r\n")); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", lines[0], err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// refusesWhatIsRevoked counts from the answer to the revocation to the beginning of the last request that is let in.
func (b *behind) refusesWhatIsRevoked(t *testing.T) {
	for uri, api := range map[string]string{"/orders": jwtAPI, "/stock": opaqueAPI} {
		text := b.token(t, api, "read")
		if got := b.proxy.send(t, http.MethodGet, uri, "Bearer "+text, ""); got.Status != http.StatusOK {
			t.Fatalf("%s before it is revoked: %d %s", uri, got.Status, got.Body)
		}
		revoke(t, b.server.URL, b.seeded.Caller, text)
		revoked, late := time.Now(), time.Duration(0)
		testbed.Wait(t, healWithin, func() error {
			began := time.Since(revoked)
			got := b.proxy.send(t, http.MethodGet, uri, "Bearer "+text, "")
			if got.Status == http.StatusOK {
				late = began
			}
			if got.Status != http.StatusUnauthorized {
				return fmt.Errorf("answer %d", got.Status)
			}
			return nil
		})
		t.Logf("%s: let in until %v after the revocation", uri, late)
		if bound := strictBound + b.proxy.delay; late > bound {
			t.Errorf("%s: let in %v after the revocation, want at most %v", uri, late, bound)
		}
	}
	b.service.take()
}

func (b *behind) refusesWhileTheGatewayIsDown(t *testing.T) {
	read := b.token(t, jwtAPI, "read")
	b.gateway.Signal(t, syscall.SIGTERM)
	if code := b.gateway.Exit(t, endWithin); code != 0 {
		t.Errorf("the gateway ended with exit code %d", code)
	}
	for _, uri := range []string{"/orders", "/hello"} {
		got := b.proxy.send(t, http.MethodGet, uri, "Bearer "+read, "")
		b.service.none(t)
		if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: answer %d %v", uri, got.Status, got.Header)
		}
	}
	b.gateway.start(t)
	testbed.Wait(t, healWithin, func() error {
		if got := b.proxy.send(t, http.MethodGet, "/orders", "Bearer "+read, ""); got.Status != http.StatusOK {
			return fmt.Errorf("answer %d %s", got.Status, got.Body)
		}
		return nil
	})
}

// keepsTokensToItself looks for tokens in what the proxy printed and wrote.
func (b *behind) keepsTokensToItself(t *testing.T) {
	t.Helper()
	secrets := planted{}
	for i, text := range b.tokens {
		secrets[fmt.Sprintf("token %d", i)] = text
	}
	places := map[string]string{"the proxy's output": b.proxy.out.String(), "the gateway's output": b.gateway.out.String()}
	err := filepath.WalkDir(b.proxy.work, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		places[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range slices.Sorted(maps.Keys(places)) {
		if found := secrets.in([]byte(places[place])); len(found) > 0 {
			t.Errorf("%s has %v", place, found)
		}
	}
}
