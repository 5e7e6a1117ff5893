package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/lb/http1"
)

// received is a request as its server has read it.
type received struct {
	Method, Target, Host string
	Length               int64
	Transfer             []string
	Header               http.Header
	Body                 string
}

func TestRequestsAreThoseOfHTTPTransport(t *testing.T) {
	t.Parallel()
	arrived := make(chan received, 1)
	server := startScript(t, func(conn net.Conn, requests *bufio.Reader) {
		for {
			req, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			arrived <- received{req.Method, req.RequestURI, req.Host, req.ContentLength, req.TransferEncoding, req.Header, string(body)}
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	long := strings.Repeat("0123456789abcdef", 40<<10)
	for _, tt := range []struct {
		name, method, target, host string
		body                       io.Reader
		header                     http.Header
	}{
		{name: "plain", method: "GET", target: "/a%2fb/%c3%a4?x=1&y=%20"},
		{name: "no path", method: "GET", target: "?"},
		{name: "asterisk in a path", method: "OPTIONS", target: "/*"},
		{name: "headers", method: "GET", header: http.Header{"X-A": {"1", " 2 ", ""}, "User-Agent": {"me"}, "lower": {"x"}, "Content-Length": {"7"}, "Transfer-Encoding": {"chunked"}, "Host": {"evil"}, "Trailer": {"X"}}},
		{name: "no user agent", method: "GET", header: http.Header{"User-Agent": {""}}},
		{name: "other host", method: "GET", host: "service.example:8443"},
		{name: "POST without body", method: "POST"},
		{name: "DELETE without body", method: "DELETE"},
		{name: "short body", method: "POST", body: strings.NewReader("payload")},
		{name: "body at hand, in single bytes", method: "PUT", body: struct{ io.Reader }{iotest.OneByteReader(strings.NewReader("payload"))}},
		{name: "long body", method: "POST", body: strings.NewReader(long)},
		{name: "long chunked body", method: "POST", body: struct{ io.Reader }{strings.NewReader(long)}},
		{name: "empty chunked body", method: "POST", body: struct{ io.Reader }{strings.NewReader("")}},
		{name: "GET with a body", method: "GET", body: strings.NewReader("payload")},
		{name: "own method", method: "PURGE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usual := &http.Transport{DisableCompression: true}
			t.Cleanup(usual.CloseIdleConnections)
			seen := make([]received, 0, 2)
			for _, transport := range []http.RoundTripper{usual, newTransport(t)} {
				if seeker, ok := tt.body.(io.Seeker); ok {
					_, _ = seeker.Seek(0, io.SeekStart)
				}
				body := tt.body
				if wrapped, ok := body.(struct{ io.Reader }); ok { // to be read again
					body = struct{ io.Reader }{strings.NewReader(map[bool]string{true: long, false: "payload"}[strings.Contains(tt.name, "long")])}
					_ = wrapped
				}
				req := newRequest(t.Context(), t, tt.method, server.address, body)
				req.URL.Path, req.URL.RawPath, req.URL.RawQuery = "/", "", ""
				if tt.target != "" {
					parsed, err := req.URL.Parse("http://" + server.address + tt.target)
					if err != nil {
						t.Fatal(err)
					}
					req.URL = parsed
				}
				if tt.host != "" {
					req.Host = tt.host
				}
				if req.ContentLength == 0 && body != nil {
					req.ContentLength = -1
				}
				if tt.header != nil {
					req.Header = tt.header.Clone()
				}
				if !http1.Suits(req) {
					t.Fatal("does not suit")
				}
				if _, ok := req.Header["User-Agent"]; !ok {
					req.Header["User-Agent"] = []string{""} // of ours, which has no name of its own
				}
				if got := do(transport, req); got.Code != http.StatusNoContent {
					t.Fatal(got.Err)
				}
				seen = append(seen, <-arrived)
			}
			if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Nothing of a request that could be taken for another is sent.
func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	server := startScript(t, func(_ net.Conn, requests *bufio.Reader) {
		if line, err := requests.ReadString('\n'); err == nil {
			t.Errorf("sent %q", line)
		}
	})
	transport := newTransport(t)
	for name, spoil := range map[string]func(*http.Request){
		"method":             func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"no method":          func(r *http.Request) { r.Method = "G T" },
		"name":               func(r *http.Request) { r.Header["X-A: 1\r\nX-B"] = []string{"1"} },
		"empty name":         func(r *http.Request) { r.Header[""] = []string{"1"} },
		"value":              func(r *http.Request) { r.Header["X-A"] = []string{"1\r\nX-B: 1"} },
		"value with LF":      func(r *http.Request) { r.Header["X-A"] = []string{"1\n"} },
		"value with NUL":     func(r *http.Request) { r.Header["X-A"] = []string{"\x00"} },
		"query":              func(r *http.Request) { r.URL.RawQuery = "a b" },
		"query with a line":  func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1\r\nX-A: 1\r\n" },
		"unusual user agent": func(r *http.Request) { r.Header["User-Agent"] = []string{"a\r\nb"} },
	} {
		req := newRequest(t.Context(), t, http.MethodPost, server.address, nil)
		body := &closing{Reader: strings.NewReader("x")}
		req.Body, req.ContentLength = body, 1
		spoil(req)
		if got := do(transport, req); !errors.Is(got.Err, http1.ErrRequest) || body.closed.Load() != 1 {
			t.Errorf("%s: %+v; body closed %d times", name, got, body.closed.Load())
		}
	}
	for name, spoil := range map[string]func(*http.Request){
		"host":                   func(r *http.Request) { r.Host = "a\r\nX-A: 1" },
		"host with a blank":      func(r *http.Request) { r.Host = "a b" },
		"zone":                   func(r *http.Request) { r.Host = "[fe80::1%25eth0]" },
		"international":          func(r *http.Request) { r.Host = "bücher.example" },
		"upgrade":                func(r *http.Request) { r.Header["Upgrade"] = []string{"websocket"} },
		"connection":             func(r *http.Request) { r.Header["Connection"] = []string{"close"} },
		"expect":                 func(r *http.Request) { r.Header["Expect"] = []string{"100-continue"} },
		"tunnel":                 func(r *http.Request) { r.Method = http.MethodConnect },
		"trailer":                func(r *http.Request) { r.Trailer = http.Header{"X-A": nil} },
		"scheme":                 func(r *http.Request) { r.URL.Scheme = "ftp" },
		"opaque":                 func(r *http.Request) { r.URL.Opaque = "//a/" },
		"close":                  func(r *http.Request) { r.Close = true },
		"body of unknown length": func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), 0 },
	} {
		req := newRequest(t.Context(), t, http.MethodPost, server.address, nil)
		spoil(req)
		if http1.Suits(req) {
			t.Errorf("%s suits", name)
		}
	}
}

// What says where a message ends is written by the transport alone, however the caller spells it.
func TestFramingIsNotTheCallers(t *testing.T) {
	t.Parallel()
	arrived := make(chan received, 1)
	server := startScript(t, func(conn net.Conn, requests *bufio.Reader) {
		if req, err := http.ReadRequest(requests); err == nil {
			body, _ := io.ReadAll(req.Body)
			arrived <- received{Method: req.Method, Host: req.Host, Length: req.ContentLength, Transfer: req.TransferEncoding, Body: string(body)}
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	req := newRequest(t.Context(), t, http.MethodPost, server.address, strings.NewReader("payload"))
	for _, name := range []string{"content-length", "CONTENT-LENGTH", "transfer-encoding", "Transfer-encoding", "host", "HOST", "trailer"} {
		req.Header[name] = []string{"chunked"}
	}
	if got := do(newTransport(t), req); got.Code != http.StatusNoContent {
		t.Fatalf("%+v", got)
	}
	want := received{Method: http.MethodPost, Host: server.address, Length: int64(len("payload")), Body: "payload"}
	if diff := cmp.Diff(want, <-arrived); diff != "" {
		t.Error(diff)
	}
}

// closing is a body that knows how often it was closed.
type closing struct {
	io.Reader

	closed atomic.Int64
}

func (c *closing) Close() error { c.closed.Add(1); return nil }

var errBroken = errors.New("broken")

// Whatever becomes of a request, its body is closed once, and what ails it is told.
func TestBodiesOfRequests(t *testing.T) {
	t.Parallel()
	const big = 1 << 20
	ok := answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false)
	early := func(text string) func(net.Conn, *bufio.Reader) {
		return func(conn net.Conn, requests *bufio.Reader) {
			if _, err := http.ReadRequest(requests); err == nil {
				_, _ = io.WriteString(conn, text)
				_, _ = io.CopyN(io.Discard, requests, 1)
			}
		}
	}
	const tooLarge = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	for _, tt := range []struct {
		name   string
		serve  func(net.Conn, *bufio.Reader)
		body   io.Reader
		length int64
		code   int
		err    error // errBroken, io.ErrUnexpectedEOF
	}{
		{name: "short", serve: ok, body: strings.NewReader("x"), length: 1, code: 200},
		{name: "long", serve: ok, body: bytes.NewReader(make([]byte, big)), length: big, code: 200},
		{name: "chunked", serve: ok, body: bytes.NewReader(make([]byte, big)), length: -1, code: 200},
		{name: "short, broken", serve: ok, body: iotest.ErrReader(errBroken), length: 1, err: errBroken},
		{name: "long, broken", serve: ok, body: io.MultiReader(bytes.NewReader(make([]byte, big)), iotest.ErrReader(errBroken)), length: big + 1, err: errBroken},
		{name: "chunked, broken", serve: ok, body: io.MultiReader(bytes.NewReader(make([]byte, big)), iotest.ErrReader(errBroken)), length: -1, err: errBroken},
		{name: "shorter than announced", serve: ok, body: strings.NewReader("x"), length: 2, err: io.ErrUnexpectedEOF},
		{name: "empty though announced", serve: ok, body: strings.NewReader(""), length: 2, err: io.ErrUnexpectedEOF},
		{name: "long, shorter than announced", serve: ok, body: bytes.NewReader(make([]byte, big)), length: big + 1, err: io.ErrUnexpectedEOF},
		{name: "longer than announced", serve: ok, body: strings.NewReader("xy"), length: 1},
		{name: "refused early", serve: early(tooLarge), body: bytes.NewReader(make([]byte, 8*big)), length: 8 * big, code: 413},
		{name: "chunked, refused early", serve: early(tooLarge), body: bytes.NewReader(make([]byte, 8*big)), length: -1, code: 413},
		{name: "broken off early", serve: early(""), body: bytes.NewReader(make([]byte, 8*big)), length: 8 * big},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := startScript(t, tt.serve)
			transport := newTransport(t)
			req := newRequest(t.Context(), t, http.MethodPost, server.address, nil)
			body := &closing{Reader: tt.body}
			req.Body, req.ContentLength = body, tt.length
			got := do(transport, req)
			if got.Code != tt.code || tt.code == 0 && got.Err == nil || tt.err != nil && !errors.Is(got.Err, tt.err) {
				t.Errorf("%+v", got)
			}
			await(t, "close of the body", func() bool { return body.closed.Load() == 1 })
		})
	}
}

// deaf is a connection whose other end has said all it says, and takes no more than a part of what is sent.
type deaf struct{ fakeConn }

func (deaf) Write([]byte) (int, error) { return 1, errBroken }

// A server may answer before it has read the header.
func TestAnswerAmidTheHeader(t *testing.T) {
	t.Parallel()
	dial := func(context.Context, string, string) (net.Conn, error) {
		return deaf{fakeConn{said: bytes.NewReader([]byte("HTTP/1.1 431 Too Large\r\nContent-Length: 2\r\n\r\nno"))}}, nil
	}
	transport := http1.New(http1.Config{Dial: dial, DialTLS: dial, IdleTimeout: time.Minute, MaxIdlePerHost: 1, MaxHeaderBytes: maxHeader})
	for name, length := range map[string]int64{"short body": 1, "long body": 1 << 20, "chunked body": -1} {
		body := &closing{Reader: bytes.NewReader(make([]byte, max(0, length)))}
		req := newRequest(t.Context(), t, http.MethodPost, "a", nil)
		req.Body, req.ContentLength = body, length
		if got := do(transport, req); got.Code != http.StatusRequestHeaderFieldsTooLarge || got.Body != "no" {
			t.Errorf("%s: %+v", name, got)
		}
		if n := body.closed.Load(); n != 1 {
			t.Errorf("%s was closed %d times", name, n)
		}
	}
}

// await waits until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// The end of a request's context ends it wherever it is, with its cause, and its connection is not used again.
func TestCancellation(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	for _, tt := range []struct {
		name string
		text string // of the answer, before it stops
		body func() io.ReadCloser
	}{
		{name: "before an answer"},
		{name: "within a header", text: "HTTP/1.1 200 OK\r\nX-"},
		{name: "within a body", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"},
		{name: "within chunks", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"},
		{name: "while a body is sent", body: func() io.ReadCloser { r, _ := io.Pipe(); return r }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			arrived := make(chan struct{}, 2)
			server := startScript(t, func(conn net.Conn, requests *bufio.Reader) {
				if _, err := http.ReadRequest(requests); err != nil {
					return
				}
				_, _ = io.WriteString(conn, tt.text)
				arrived <- struct{}{}
				_, _ = io.Copy(io.Discard, requests)
			})
			transport := newTransport(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			req := newRequest(ctx, t, http.MethodPost, server.address, nil)
			if tt.body != nil {
				req.Body, req.ContentLength = tt.body(), -1
				defer func() { _ = req.Body.Close() }()
			}
			go func() {
				<-arrived
				cancel(why)
			}()
			if got := do(transport, req); !errors.Is(got.Err, why) {
				t.Errorf("%+v", got)
			}
			if got := do(transport, newRequest(ctx, t, http.MethodGet, server.address, nil)); !errors.Is(got.Err, why) {
				t.Errorf("before it begins: %+v", got)
			}
			if n := server.conns.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// Deadlines of earlier requests mean nothing to later ones, whether these have longer limits, shorter ones or none.
func TestLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const body = time.Minute // that an answer takes after its header
		var header time.Duration // that it takes before
		dials := 0
		dial := func(context.Context, string, string) (net.Conn, error) {
			dials++
			here, there := net.Pipe()
			go func() {
				defer func() { _ = there.Close() }()
				for requests := bufio.NewReader(there); ; {
					req, err := http.ReadRequest(requests)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					time.Sleep(header)
					_, _ = io.WriteString(there, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
					time.Sleep(body)
					_, _ = io.WriteString(there, "lo")
				}
			}()
			return here, nil
		}
		transport := http1.New(http1.Config{Dial: dial, DialTLS: dial, IdleTimeout: time.Hour, MaxIdlePerHost: 1, MaxHeaderBytes: maxHeader})
		defer transport.CloseIdleConnections()
		send := func(limit time.Duration) outcome {
			resp, err := transport.Send(newRequest(t.Context(), t, http.MethodPost, "a", strings.NewReader("x")), limit)
			if err != nil {
				return outcome{Failed: true, Err: err}
			}
			return read(resp)
		}
		for _, limit := range []time.Duration{time.Second, time.Hour, 0, 90 * time.Second, time.Second, 0, time.Hour} {
			if got := send(limit); got.Body != "hello" || got.Err != nil || dials != 1 {
				t.Errorf("limit %v: %+v over %d connections", limit, got, dials)
			}
		}
		header = 80 * time.Second
		if got := send(90 * time.Second); got.Body != "hello" || dials != 1 {
			t.Errorf("within the limit: %+v over %d connections", got, dials)
		}
		late, ok := errors.AsType[*http1.TimeoutError](send(70 * time.Second).Err)
		if !ok || late.Limit != 70*time.Second || !late.Timeout() {
			t.Errorf("beyond the limit: %v", late)
		}
		if got := send(0); got.Body != "hello" || dials != 2 {
			t.Errorf("after that: %+v over %d connections", got, dials)
		}
	})
}
