package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk/sdktest"
)

// divided has routes of one path that differ by method, and one that takes any.
const divided = `
routes:
  - {name: read, match: {prefix: /items}, authentication: introspect, audience: "https://inventory.test", all_of: [read], pool: echo}
  - {name: write, match: {prefix: /items, methods: [POST, DELETE]}, authentication: introspect, audience: "https://inventory.test", all_of: [write], pool: echo}
  - {name: open, match: {prefix: /}, authentication: none, pool: echo}
`

// A method in small letters is POST to some servers, and a tunnel is nothing that could be judged.
func TestAttackByMethod(t *testing.T) {
	w := startWireOf(t, newIssuer(t), divided, nil)
	reader := bearer(w.issuer.Token(api, "read"))
	for _, row := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/items", 200},
		{"PROPFIND", "/items", 200},
		{"POST", "/items", 403},
		{"post", "/items", 400},
		{"Post", "/items", 400},
		{"dELETE", "/items", 400},
		{"trace", "/open", 400},
		{"CONNECT", "/items", 405},
		{"CONNECT", "/open", 405},
		{"connect", "/open", 400},
		{"CONNECT", "gateway.test:80", 400},
	} {
		t.Run(row.method+" "+row.target, func(t *testing.T) {
			got := w.ask(t, row.method, row.target, reader)
			if seen := w.upstream.taken(); got.status != row.status || (len(seen) > 0) != (row.status == http.StatusOK) {
				t.Errorf("%d, want %d; the upstream got %+v", got.status, row.status, seen)
			}
		})
	}
}

// The search for a second token reads a form to its end, trailers included.
func TestAttackByTheTrailersOfAForm(t *testing.T) {
	w := startWireOf(t, newIssuer(t), divided, nil)
	form := request("PUT", "/items", bearer(w.issuer.Token(api, "read")), "Content-Type: application/x-www-form-urlencoded", "Transfer-Encoding: chunked", "Trailer: X-Client-Id, X-Any")
	w.say(t, form+"3\r\na=b\r\n0\r\nX-Client-Id: spoofed\r\nX-Any: thing\r\n\r\n")
	seen := w.upstream.taken()
	if len(seen) != 1 || seen[0].Body != "a=b" || seen[0].Header["Trailer X-Client-Id"] != nil || seen[0].Header["Trailer X-Any"] != nil {
		t.Errorf("%+v", seen)
	}
}

// Headers lose blanks at both ends: whoever is called " root" must not become root.
func TestAttackByNames(t *testing.T) {
	w := startWireOf(t, newIssuer(t), divided, nil)
	for _, row := range []struct {
		name   string
		claims sdktest.Claims
		status int
	}{
		{"sound", sdktest.Claims{Subject: "Jörg \"x\" Müller"}, 200},
		{"a blank before", sdktest.Claims{Subject: " root"}, 403},
		{"a blank behind", sdktest.Claims{ClientID: "cl_root "}, 403},
		{"a tabulator", sdktest.Claims{Subject: "root\t"}, 403},
		{"a line", sdktest.Claims{Subject: "a\r\nX-Client-Id: root"}, 403},
		{"NUL", sdktest.Claims{Subject: "a\x00"}, 403},
		{"in a scope", sdktest.Claims{Scopes: []string{"read", "a\nb"}}, 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.claims.Audience = []string{api}
			if row.claims.Scopes == nil {
				row.claims.Scopes = []string{"read"}
			}
			got := w.ask(t, "GET", "/items", bearer(w.issuer.Mint(row.claims)))
			if seen := w.upstream.taken(); got.status != row.status || (len(seen) > 0) != (row.status == http.StatusOK) {
				t.Errorf("%d, want %d; the upstream got %+v", got.status, row.status, seen)
			}
		})
	}
}

// Where encoded slashes pass, an upstream that decodes them must not find what another route guards.
func TestAttackByEncodedSlashes(t *testing.T) {
	g := newGateway(t, `
paths: {encoded_slashes: pass, parameters: pass}
routes:
  - {name: admin, match: {prefix: /admin}, authentication: none, pool: echo}
  - {name: public, match: {prefix: /public}, authentication: none, pool: echo}
  - {name: all, match: {prefix: /}, authentication: none, pool: echo}
`)
	for path, want := range map[string]string{
		"/public/a%2Fb": "public", "/x/a%2fb%2Fc": "all", "/admin/a%2f..%2fb": "admin", "/public;v=1/a%2Fb": "public",
		"/public/..%2Fadmin": "400", "/public/%2e%2e%2fadmin": "400", "/%2fadmin": "400", "/admin%2Fx": "400", "/x/..%2f..%2fadmin": "400",
		"/x%2F..%2Fadmin;x": "400", "/public/..;%2fadmin": "400", "/%2FADMIN": "400",
		"/admin%3bx": "400", "/public%3B/x": "400", "/public%3b%2f..%2Fadmin": "400", "/public/a%3Bb": "public", "/x%3By": "all",
	} {
		if got := g.Find("GET", "x", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// What the more general domain guards is not open below the more special one. A route that names HEAD comes before one for GET, in any order.
func TestAttackByGapsBetweenRoutes(t *testing.T) {
	g := newGateway(t, `
routes:
  - {name: get, match: {path: /m, methods: [GET]}, authentication: none, pool: echo}
  - {name: head, match: {path: /m, methods: [HEAD]}, authentication: none, pool: echo}
  - {name: special, match: {hosts: ["*.a.test"], prefix: /x}, authentication: none, pool: echo}
  - {name: general, match: {hosts: ["*.test"], prefix: /admin}, authentication: none, pool: echo}
  - {name: all, match: {prefix: /}, authentication: none, pool: echo}
`)
	for _, tt := range []struct{ method, host, path, want string }{
		{"GET", "www.a.test", "/x", "special"},
		{"GET", "www.a.test", "/admin", "general"},
		{"GET", "www.a.test", "/ADMIN", "400"},
		{"GET", "www.b.test", "/admin", "general"},
		{"GET", "www.a.test", "/", "all"},
		{"GET", "", "/admin", "all"},
		{"HEAD", "", "/m", "head"},
		{"GET", "", "/m", "get"},
	} {
		if got := g.Find(tt.method, tt.host, tt.path); got != tt.want {
			t.Errorf("%s %s%s: %s, want %s", tt.method, tt.host, tt.path, got, tt.want)
		}
	}
}

// Two hosts, or none, must not lead a proxy's question to the routes for any host.
func TestAttackByForwardedHosts(t *testing.T) {
	ask, _ := authority(t)
	for _, hosts := range [][]string{{""}, {"www.test", "www.test"}, {"a.test", ""}, {"www.test, a.test"}} {
		header := about("GET", "/", "", "")
		header["X-Forwarded-Host"] = hosts
		if got := ask(gateway.AuthorizePath, header); got.status != http.StatusBadRequest {
			t.Errorf("%q: %d", hosts, got.status)
		}
	}
	for _, method := range []string{"get", "GET, POST", "GET /x", "GÉT"} {
		if got := ask(gateway.AuthorizePath, about(method, "/", "www.test", "")); got.status != http.StatusBadRequest {
			t.Errorf("%q: %d", method, got.status)
		}
	}
}

// An address of IPv6 costs its owner nothing: it is the /64 that has a limit.
func TestAttackByAddresses(t *testing.T) {
	g := newGateway(t, `
listeners: [{name: a, address: "127.0.0.1:0", serves: authorization}]
routes: [{name: all, match: {prefix: /}, authentication: none, rate_limit: {requests: 1, per: 1h, by: address}}]`)
	edge := &httpx.Edge{Log: newLog(t), Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	handler := edge.Wrap(http.HandlerFunc(g.Authorize))
	for _, row := range []struct {
		address string
		status  int
	}{
		{"[2001:db8::1]:1", 200},
		{"[2001:db8::2]:1", 429},
		{"[2001:db8:0:0:ffff::]:1", 429},
		{"[2001:db8:0:1::1]:1", 200},
		{"192.0.2.1:1", 200},
		{"192.0.2.2:1", 200},
		{"[::ffff:192.0.2.2]:1", 429},
	} {
		r := httptest.NewRequest(http.MethodGet, gateway.AuthorizePath, nil)
		r.RemoteAddr, r.Header = row.address, about("GET", "/", "x", "")
		recorder := httptest.NewRecorder()
		if handler.ServeHTTP(recorder, r); recorder.Code != row.status {
			t.Errorf("%s: %d, want %d", row.address, recorder.Code, row.status)
		}
	}
}

// What HTTP/2 allows and a line of HTTP/1.1 has no room for never becomes one.
func TestAttackByRequestLines(t *testing.T) {
	w := startWire(t)
	for name, fields := range map[string][]byte{
		"path":      fields(":method", "GET", ":scheme", "http", ":authority", "gateway.test", ":path", "/open HTTP/1.0"),
		"query":     fields(":method", "GET", ":scheme", "http", ":authority", "gateway.test", ":path", "/open?a HTTP/1.0"),
		"authority": fields(":method", "GET", ":scheme", "http", ":authority", "gateway .test", ":path", "/open"),
		"user":      fields(":method", "GET", ":scheme", "http", ":authority", "gateway.test@secret.test", ":path", "/open"),
		"method":    fields(":method", "GET /admin", ":scheme", "http", ":authority", "gateway.test", ":path", "/open"),
	} {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		_, _ = conn.Write(append(frame(frameSettings, 0, 0, nil), frame(frameHeaders, 0x1|0x4, 1, fields)...))
		const ask, goAway = 6, 7
		_, _ = conn.Write(append(frame(ask, 0, 0, make([]byte, 8)), frame(goAway, 0, 0, make([]byte, 8))...)) // so that it closes in the end
		if text, err := io.ReadAll(conn); err != nil || len(text) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		if seen := w.upstream.taken(); len(seen) > 0 {
			t.Errorf("%s: the upstream got %+v", name, seen)
		}
	}
}
