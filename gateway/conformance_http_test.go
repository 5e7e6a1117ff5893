package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

// Requests whose bounds can be understood in two ways never reach an upstream, nor does what hides behind them.
func TestConformanceOfFraming(t *testing.T) {
	w := startWire(t)
	const (
		post    = "POST /open HTTP/1.1\r\nHost: gateway.test\r\n"
		behind  = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: gateway.test\r\nX-Client-Id: smuggled\r\n\r\n"
		chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
	)
	for _, row := range []struct{ name, send string }{
		{"H01 content length and chunked", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + behind},
		{"H02 two lengths", post + "Content-Length: 5\r\nContent-Length: 80\r\n\r\n" + behind},
		{"H03 folded", "GET /open HTTP/1.1\r\nHost: gateway.test\r\nX-A: b\r\n c\r\n\r\n"},
		{"H04 no host", "GET /open HTTP/1.1\r\n\r\n"},
		{"H04 two hosts", "GET /open HTTP/1.1\r\nHost: gateway.test\r\nHost: secret.test\r\n\r\n"},
		{"H04 no host name", "GET /open HTTP/1.1\r\nHost: a b\r\n\r\n"},
		{"attack 26, CL.TE", post + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n", len(behind)) + behind},
		{"attack 26, TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + behind},
		{"attack 26, the same length twice", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n" + behind},
		{"attack 26, a list of lengths", post + "Content-Length: 5, 5\r\n\r\n" + behind},
		{"attack 26, a signed length", post + "Content-Length: +5\r\n\r\n" + behind},
		{"attack 26, xchunked", post + "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n" + behind},
		{"attack 26, xchunked alone", post + "Transfer-Encoding: xchunked\r\n\r\n" + behind},
		{"attack 26, identity", post + "Transfer-Encoding: identity\r\n\r\n" + behind},
		{"attack 26, two codings", post + "Transfer-Encoding: chunked, identity\r\n\r\n" + behind},
		{"attack 26, two lines", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + behind},
		{"attack 26, a blank before the colon", post + "Transfer-Encoding : chunked\r\n\r\n" + behind},
		{"attack 26, a vertical tab", post + "Transfer-Encoding:\x0bchunked\r\n\r\n" + behind},
		{"attack 26, in a fold", post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + behind},
		{"attack 26, behind LF", post + "X-A: b\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + behind},
		{"attack 26, behind CR", post + "X-A: b\rTransfer-Encoding: chunked\r\n\r\n" + behind},
		{"attack 26, behind NUL", post + "X-A: b\x00\r\n\r\n" + behind},
		{"attack 26, HTTP/1.0", "POST /open HTTP/1.0\r\nHost: gateway.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + behind},
		{"attack 26, a chunk of two sizes", chunked + "0x1\r\na\r\n" + behind},
		{"attack 26, a chunk of no size", chunked + "\r\n" + behind},
		{"attack 26, LF ends a size", chunked + "1\na\r\n" + behind},
		{"attack 26, a chunk longer than its size", chunked + "1\r\nab\r\n" + behind},
		{"attack 26, a chunk beyond all bounds", chunked + "ffffffffffffffff1\r\na\r\n" + behind},
		{"attack 26, a length in a trailer", chunked + "0\r\nContent-Length: 30\r\n\r\n" + behind},
		{"attack 26, version 2.0", "POST /open HTTP/2.0\r\nHost: gateway.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + behind},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := w.say(t, row.send)
			if len(got) != 1 || got[0].status != http.StatusBadRequest && got[0].status != http.StatusHTTPVersionNotSupported {
				t.Errorf("got %+v", got)
			}
			for _, request := range w.upstream.taken() {
				t.Errorf("the upstream got %+v", request)
			}
		})
	}
}

func TestConformanceOfRequests(t *testing.T) {
	w := startWire(t)
	good := bearer(w.issuer.Token(api, "inventory:read"))
	for _, row := range []struct {
		name   string
		send   string
		status int
		path   string // that the upstream gets; empty: nothing
	}{
		{"H06 a header of 64 KiB", request("GET", "/open", "X-A: "+strings.Repeat("a", 64<<10)), 431, ""},
		{"H06 many headers", request("GET", "/open", strings.Repeat("X-A: a\r\n", 8<<10)+"X-A: b"), 431, ""},
		{"H06 a path of 64 KiB", request("GET", "/"+strings.Repeat("a", 64<<10)), 431, ""},
		{"H07 two slashes", request("GET", "//items"), 401, ""},
		{"H07 a slash at the end", request("GET", "/items/"), 401, ""},
		{"H07 encoded", request("GET", "/%69tems"), 401, ""},
		{"H07 a dot", request("GET", "/./items"), 401, ""},
		{"H07 two slashes, with a token", request("GET", "//items", good), 200, "/items"},
		{"H07 a slash at the end, with a token", request("GET", "/items/", good), 200, "/items/"},
		{"H07 encoded, with a token", request("GET", "/%69tems", good), 200, "/items"},
		{"H07 a dot, with a token", request("GET", "/./items", good), 200, "/items"},
		{"H08 TRACE", request("TRACE", "/open"), 405, ""},
		{"H08 TRACE with a token", request("TRACE", "/items", good), 405, ""},
		{"a body that is too large", request("POST", "/small", "Content-Length: 1025") + strings.Repeat("a", 1025), 413, ""},
		{"a body that is too large, in chunks", request("POST", "/small", "Transfer-Encoding: chunked") + "401\r\n" + strings.Repeat("a", 1025) + "\r\n0\r\n\r\n", 413, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := w.say(t, row.send)
			if len(got) != 1 || got[0].status != row.status {
				t.Errorf("got %+v, want %d", got, row.status)
			}
			path := ""
			for _, request := range w.upstream.taken() {
				path += request.Path
			}
			if path != row.path {
				t.Errorf("the upstream got %q, want %q", path, row.path)
			}
		})
	}
}

func TestConformanceOfAnswers(t *testing.T) {
	w := startWire(t)
	for _, row := range []struct{ name, target string }{{"H10 forwarded", "/open"}, {"H10 refused", "/items"}, {"H10 a bad path", "/%2f"}} {
		t.Run(row.name, func(t *testing.T) {
			got := w.ask(t, "GET", row.target).header
			if got.Get("X-Content-Type-Options") != "nosniff" || got["Server"] != nil || got["X-Powered-By"] != nil || got["Via"] != nil {
				t.Errorf("%v", got)
			}
		})
	}
	t.Run("a sound request after a refused one", func(t *testing.T) { // the connection goes on: only its framing could end it
		conn := w.dial(t)
		_, _ = io.WriteString(conn, "GET /items HTTP/1.1\r\nHost: gateway.test\r\n\r\n"+request("GET", "/open"))
		if got := answers(t, bufio.NewReader(conn)); len(got) != 2 || got[0].status != 401 || got[1].status != 200 {
			t.Errorf("%+v", got)
		}
	})
}

// A client that waits for leave to send its body (RFC 9110 §10.1.1) is told at once, one way or the other.
func TestConformanceOfExpectations(t *testing.T) {
	w := startWire(t)
	good := bearer(w.issuer.Token(api, "inventory:read"))
	const expect = "Expect: 100-continue\r\nContent-Length: 4"
	if got := w.say(t, request("POST", "/items", expect)); len(got) != 1 || got[0].status != 401 {
		t.Errorf("without a token: %+v", got)
	}
	if got := w.say(t, request("POST", "/items", expect, good)+"body"); len(got) != 2 || got[0].status != 100 || got[1].status != 200 {
		t.Errorf("with a token: %+v", got)
	}
	if seen := w.upstream.taken(); len(seen) != 1 || seen[0].Body != "body" {
		t.Errorf("the upstream got %+v", seen)
	}
	if got := w.ask(t, "GET", "/open", "Expect: miracles"); got.status != http.StatusExpectationFailed {
		t.Errorf("%+v", got)
	}
}

// H12: while nothing can be said about tokens, that is what is said.
func TestConformanceWhileNotReady(t *testing.T) {
	w := startWire(t)
	opaque := w.issuer.MintOpaque(sdktest.Claims{Audience: []string{api}, Scopes: []string{"inventory:read"}})
	w.issuer.Down(true)
	for _, row := range []struct{ name, target, line string }{
		{"S15 an opaque token never seen", "/items", bearer(opaque)},
		{"S15 an opaque token never seen, strict", "/strict", bearer(opaque)},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := w.ask(t, "GET", row.target, row.line)
			if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("WWW-Authenticate") != "" || len(w.upstream.taken()) > 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("H12 strict, once the lease is over", func(t *testing.T) {
		good := bearer(w.issuer.Token(api, "inventory:read"))
		await(t, "end of the lease", func() bool { return w.ask(t, "GET", "/strict", good).status == http.StatusServiceUnavailable })
	})
}
