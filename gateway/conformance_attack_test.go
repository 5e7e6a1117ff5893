package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

// Attacks 24 and 25, S20: what a client says of itself does not reach the upstream, in no spelling and on no route.
func TestConformanceOfIdentityHeaders(t *testing.T) {
	w := startWire(t)
	good := bearer(w.issuer.Mint(sdktest.Claims{ClientID: "cl_a", Audience: []string{api}, Scopes: []string{"inventory:read"}}))
	names := []string{
		"X-Client-Id", "x-client-id", "X-CLIENT-ID", "X_Client_Id", "X-Client_Id", "X_CLIENT-ID", "x.client.id", "X-Client-Subject", "X_Client_Subject",
		"X-Client-Scope", "X-Client-Issuer", "X-Token-Id", "x_token_id", "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
		"X-Forwarded-Client-Cert", "X-Forwarded-User", "X-Forwarded-Prefix", "X-Forwarded_Proto", "Forwarded", "forwarded", "X-Original-Forwarded-For", "X-Real-Ip", "x_real_ip",
		"X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Client-Ip", "Client-Cert", "client_cert", "Client-Cert-Chain", "Client_Cert-Chain", "X-Request-Id", "Baggage",
		"X-Forwarded", "X-Ssl-Client-Cert", "Ssl_Client_Verify", "X-Client-Cert", "Proxy", "Proxy-Authorization", "Txn-Token", "txn_token", "X-Original-Url", "X-Original_Url", "X-Original-Uri", "X.Forwarded.For", "X.Real-Ip", "X!Forwarded~Host",
		"X-Rewrite-Url", "X-Http-Method-Override", "X_HTTP_Method_Override", "X-Http-Method", "X-Method-Override", "Upgrade", "Keep-Alive", "Te",
	}
	spoofed := func(t *testing.T, lines ...string) {
		t.Helper()
		for _, target := range []string{"/items", "/open"} {
			got := w.say(t, request("GET", target, append(lines, good)...))
			seen := w.upstream.taken()
			if len(got) != 1 || got[0].status != 200 || len(seen) != 1 {
				t.Fatalf("%+v", got)
			}
			for name, values := range seen[0].Header {
				if strings.Contains(strings.Join(values, " "), "spoofed") {
					t.Errorf("%s: the upstream got %s: %s", target, name, values)
				}
			}
			if id := seen[0].Header["X-Client-Id"]; target == "/items" && (len(id) != 1 || id[0] != "cl_a") {
				t.Errorf("the upstream got the client %s", id)
			}
		}
	}
	for _, name := range names {
		t.Run("S20 attack 24 "+name, func(t *testing.T) { spoofed(t, name+": spoofed", name+": spoofed again") })
	}
	for _, connection := range []string{"X-Client-Id", "x-client-id, close", "close, X-Client-Scope, X-Client-Subject, X-Client-Issuer, X-Token-Id", "X-Request-Id", "X-Forwarded-For", "Traceparent, Host"} {
		t.Run("attack 25 Connection: "+connection, func(t *testing.T) {
			spoofed(t, "Connection: "+connection)
			w.ask(t, "GET", "/items", "Connection: "+connection, good)
			seen := w.upstream.taken()
			for _, name := range []string{"X-Client-Id", "X-Client-Scope", "X-Client-Subject", "X-Client-Issuer", "X-Token-Id", "X-Request-Id", "X-Forwarded-For", "Traceparent"} {
				if len(seen[0].Header[name]) != 1 {
					t.Errorf("the upstream got %s: %q", name, seen[0].Header[name])
				}
			}
			if seen[0].Host != "gateway.test" {
				t.Errorf("the upstream got the host %s", seen[0].Host)
			}
		})
	}
	t.Run("attack 24 in a trailer", func(t *testing.T) {
		w.say(t, request("POST", "/items", good, "Transfer-Encoding: chunked", "Trailer: X-Client-Id, X-Forwarded-For")+"1\r\na\r\n0\r\nX-Client-Id: spoofed\r\nX-Forwarded-For: spoofed\r\n\r\n")
		seen := w.upstream.taken()
		if len(seen) != 1 || seen[0].Body != "a" || seen[0].Header["Trailer X-Client-Id"] != nil || seen[0].Header["Trailer X-Forwarded-For"] != nil {
			t.Errorf("%+v", seen)
		}
	})
	t.Run("attack 25 Connection: Authorization", func(t *testing.T) { // not the gateway's to send, but not a way in either
		if got := w.ask(t, "GET", "/items", "Connection: Authorization"); got.status != 401 {
			t.Errorf("%+v", got)
		}
	})
}

// Attack 23: two Authorization headers are two opinions.
func TestConformanceOfTwoAuthorizations(t *testing.T) {
	w := startWire(t)
	good := bearer(w.issuer.Token(api, "inventory:read"))
	for _, target := range []string{"/items", "/open", "/admin"} {
		for _, lines := range [][]string{{good, good}, {good, bearer("other")}, {"Authorization: Basic eDp5", good}, {good, "AUTHORIZATION:"}} {
			t.Run(fmt.Sprintf("attack 23 %s %d", target, len(lines[1])), func(t *testing.T) {
				if got := w.ask(t, "GET", target, lines...); got.status != 400 || len(w.upstream.taken()) > 0 {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}

// Attack 27: no spelling of a path gets around its policy, and the upstream sees the one by which it was judged.
func TestConformanceOfPaths(t *testing.T) {
	w := startWire(t)
	admin := bearer(w.issuer.Token(api, "admin"))
	for _, row := range []struct {
		target string
		alone  int    // status without a token
		path   string // what the upstream gets with a token; empty: nothing
	}{
		{"/admin", 401, "/admin"},
		{"/admin/", 401, "/admin/"},
		{"/admin/x", 401, "/admin/x"},
		{"//admin", 401, "/admin"},
		{"///admin", 401, "/admin"},
		{"/./admin", 401, "/admin"},
		{"/x/../admin", 401, "/admin"},
		{"/x/%2e%2e/admin", 401, "/admin"},
		{"/x/.%2E/admin", 401, "/admin"},
		{"/%61dmin", 401, "/admin"},
		{"/%61%64%6D%69%6e", 401, "/admin"},
		{"/admin//", 401, "/admin/"},
		{"/admin/.", 401, "/admin/"},
		{"/admin/x/..", 401, "/admin/"},
		{"/admin?x", 401, "/admin"},
		{"http://gateway.test/admin", 401, "/admin"},
		{"http://gateway.test//%61dmin", 401, "/admin"},
		{"HTTP://elsewhere.test/admin", 401, "/admin"},
		{"/%2e%2e/admin", 400, ""},
		{"/../admin", 400, ""},
		{"/x/../../admin", 400, ""},
		{"/x;y/../admin", 400, ""},
		{"/admin;x", 400, ""},
		{"/..;/admin", 400, ""},
		{"/x%2fadmin", 400, ""},
		{"/%2Fadmin", 400, ""},
		{"/x/..%2fadmin", 400, ""},
		{"/x/..%5cadmin", 400, ""},
		{`/x/..\admin`, 400, ""},
		{"/ADMIN", 400, ""},
		{"/Admin/x", 400, ""},
		{"/%41dmin", 400, ""},
		{"/admin%00", 400, ""},
		{"/admin%0a", 400, ""},
		{"/admin%5c..", 400, ""},
		{"/%2561dmin", 400, ""},
		{"/%c1%a1dmin", 400, ""},
		{"/%u0061dmin", 400, ""},
		{"/admin%", 400, ""},
		{"admin", 400, ""},
		{"*", 400, ""},
		{"/open/../admin/../open", 200, "/open"},
		{"/administrator", 200, "/administrator"},
		{"/admin/../x", 200, "/x"},
	} {
		t.Run("attack 27 "+row.target, func(t *testing.T) {
			got := w.ask(t, "GET", row.target)
			if seen := w.upstream.taken(); got.status != row.alone || (len(seen) > 0) != (row.alone == 200) {
				t.Errorf("without a token: %d, want %d; the upstream got %+v", got.status, row.alone, seen)
			}
			got = w.ask(t, "GET", row.target, admin)
			seen := w.upstream.taken()
			if row.path == "" && (got.status != 400 || len(seen) > 0) || row.path != "" && (got.status != 200 || len(seen) != 1 || seen[0].Path != row.path) {
				t.Errorf("with a token: %d; the upstream got %+v, want %q", got.status, seen, row.path)
			}
		})
	}
	for _, method := range []string{"POST", "OPTIONS", "CONNECT", "PRI", "admin", "get"} {
		t.Run("attack 27 "+method, func(t *testing.T) {
			got := w.ask(t, method, "/admin")
			if got.status != 401 && got.status != 400 && got.status != 405 || len(w.upstream.taken()) > 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Attack 27: the host that decides is the one that the upstream gets.
func TestConformanceOfHosts(t *testing.T) {
	w := startWire(t)
	for _, row := range []struct {
		name, send string
		status     int
		host       string
	}{
		{"Host", "GET /x HTTP/1.1\r\nHost: secret.test\r\nConnection: close\r\n\r\n", 401, ""},
		{"capitals", "GET /x HTTP/1.1\r\nHost: SECRET.test\r\nConnection: close\r\n\r\n", 401, ""},
		{"port", "GET /x HTTP/1.1\r\nHost: secret.test:8080\r\nConnection: close\r\n\r\n", 401, ""},
		{"final dot", "GET /x HTTP/1.1\r\nHost: secret.test.\r\nConnection: close\r\n\r\n", 401, ""},
		{"absolute form", "GET http://secret.test/x HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n", 401, ""},
		{"absolute form of another host", "GET http://gateway.test/x HTTP/1.1\r\nHost: secret.test\r\nConnection: close\r\n\r\n", 200, "gateway.test"},
		{"X-Forwarded-Host", "GET /x HTTP/1.1\r\nHost: secret.test\r\nX-Forwarded-Host: gateway.test\r\nConnection: close\r\n\r\n", 401, ""},
		{"two names", "GET /x HTTP/1.1\r\nHost: gateway.test,secret.test\r\nConnection: close\r\n\r\n", 400, ""},
		{"two final dots", "GET /x HTTP/1.1\r\nHost: secret.test..\r\nConnection: close\r\n\r\n", 400, ""},
		{"two ports", "GET /x HTTP/1.1\r\nHost: secret.test:80:80\r\nConnection: close\r\n\r\n", 400, ""},
		{"in brackets", "GET /x HTTP/1.1\r\nHost: [secret.test]\r\nConnection: close\r\n\r\n", 400, ""},
		{"encoded", "GET /x HTTP/1.1\r\nHost: %73ecret.test\r\nConnection: close\r\n\r\n", 400, ""},
		{"user", "GET http://gateway.test@secret.test/x HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n", 401, ""},
	} {
		t.Run("attack 27 "+row.name, func(t *testing.T) {
			got := w.say(t, row.send)
			seen := w.upstream.taken()
			if len(got) != 1 || got[0].status != row.status || (row.status == 200) != slices.ContainsFunc(seen, func(r told) bool { return r.Host == row.host }) {
				t.Errorf("%+v, the upstream got %+v", got, seen)
			}
		})
	}
}
