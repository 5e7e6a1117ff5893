package httpx_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/httpx"
)

// pieces is a connection on which the bytes of a stream arrive in pieces.
type pieces struct {
	net.Conn
	rest []byte
	size func() int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(len(p.rest), p.size())])
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pieces) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// throughGuard returns what net/http gets to see of a stream, and the error that ends it.
func throughGuard(stream string, size func() int) (string, error) {
	conn := httpx.Guard(&pieces{rest: []byte(stream), size: size})
	var got []byte
	buffer := make([]byte, 512)
	for {
		n, err := conn.Read(buffer)
		got = append(got, buffer[:n]...)
		if err != nil {
			return string(got), err
		}
	}
}

const (
	get   = "GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"
	post  = "POST / HTTP/1.1\r\nHost: a\r\n"
	noEnd = "\x00\n\r"
)

// sound are streams that reach net/http as they are.
func sound() map[string]string {
	return map[string]string{
		"nothing":                          "",
		"one request":                      get,
		"pipelined":                        get + get + get,
		"unfinished":                       get + "GET / HT",
		"content length":                   post + "Content-Length: 3\r\n\r\n" + noEnd + get,
		"content length of nothing":        post + "content-length:\t 0 \r\n\r\n" + get,
		"zeros in front":                   post + "Content-Length: 003\r\n\r\n" + noEnd + get,
		"chunks":                           post + "Transfer-Encoding: chunked\r\n\r\n3\r\n" + noEnd + "\r\n00A\r\n0123456789\r\n0\r\n\r\n" + get,
		"any case, any blanks":             post + "TRANSFER-encoding:  \tChunKED\t \r\n\r\n0\r\n\r\n" + get,
		"no blank after the colon":         post + "Transfer-Encoding:chunked\r\n\r\n0\r\n\r\n" + get,
		"chunk extensions":                 post + "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n\n\r\n0;c\r\n\r\n" + get,
		"trailers":                         post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\nX-B: c\r\n\r\n" + get,
		"a line between requests":          post + "Content-Length: 1\r\n\r\na\r\n" + get,
		"HTTP/1.0":                         "GET / HTTP/1.0\r\n\r\n",
		"an empty field":                   "GET / HTTP/1.1\r\nHost:\r\nX-A: \r\n\r\n",
		"long lines":                       "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("b", 9000) + "\r\n\r\n" + get,
		"other names of the same length":   "GET / HTTP/1.1\r\nContent-Lengti: a\r\nTransfer-Encodinh: b\r\n\r\n" + get,
		"HTTP/2":                           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\n\r",
		"a header that net/http refuses":   "GET / HTTP/1.1\r\nnonsense\r\n: b\r\n\r\n",
		"a length that is not in a header": "GET /Content-Length:1 HTTP/1.1\r\nX-A: Content-Length: 1\r\n\r\n" + get,
	}
}

// ambiguous are streams that net/http must not get to see to their ends.
func ambiguous() map[string]string {
	return map[string]string{
		"H01 content length first":        post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"H01 chunked first":               post + "Transfer-Encoding: chunked\r\nX-A: b\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"H01 in the second request":       get + post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"H01 after a body":                post + "Content-Length: 1\r\n\r\na" + post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"H01 after chunks":                post + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"H01 in an imitation of HTTP/2":   "PRI * HTTP/2.0\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"H02 two lengths":                 post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"H02 the same length twice":       post + "Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc",
		"H02 a list of lengths":           post + "Content-Length: 3, 3\r\n\r\nabc",
		"H03 folded":                      "GET / HTTP/1.1\r\nX-A: b\r\n c\r\nHost: a\r\n\r\n",
		"H03 folded by a tab":             "GET / HTTP/1.1\r\nX-A: b\r\n\tc\r\nHost: a\r\n\r\n",
		"H03 the first line":              "GET / HTTP/1.1\r\n X-A: b\r\nHost: a\r\n\r\n",
		"H03 a line of blanks":            "GET / HTTP/1.1\r\nHost: a\r\n  \r\n\r\n",
		"no length":                       post + "Content-Length:\r\n\r\n",
		"a signed length":                 post + "Content-Length: +3\r\n\r\nabc",
		"a hexadecimal length":            post + "Content-Length: 0x3\r\n\r\nabc",
		"a length with a blank":           post + "Content-Length: 1 1\r\n\r\nabc",
		"a length beyond all bounds":      post + "Content-Length: 18446744073709551617\r\n\r\na",
		"a padded length":                 post + "Content-Length: " + strings.Repeat(" ", 64) + "1\r\n\r\na",
		"padded chunked":                  post + "Transfer-Encoding: " + strings.Repeat(" ", 64) + "chunked\r\n\r\n",
		"identity":                        post + "Transfer-Encoding: identity\r\n\r\n",
		"xchunked":                        post + "Transfer-Encoding: xchunked\r\n\r\n",
		"a control character in front":    post + "Transfer-Encoding: \x0bchunked\r\n\r\n",
		"quoted":                          post + "Transfer-Encoding: \"chunked\"\r\n\r\n",
		"with a parameter":                post + "Transfer-Encoding: chunked;a=b\r\n\r\n",
		"a letter that folds to another":  post + "Transfer-Encoding: chun\u212aed\r\n\r\n",
		"no coding":                       post + "Transfer-Encoding:\r\n\r\n",
		"two codings":                     post + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"chunked twice in a line":         post + "Transfer-Encoding: chunked, chunked\r\n\r\n",
		"chunked twice":                   post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"chunked, then identity":          post + "Transfer-Encoding: chunked\r\nTransfer-encoding: identity\r\n\r\n",
		"chunked in HTTP/1.0":             "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a blank before the colon":        post + "Transfer-Encoding : chunked\r\n\r\n",
		"a tab before the colon":          post + "X-A\t: b\r\n\r\n",
		"CR in a header":                  post + "X-A: b\rTransfer-Encoding: chunked\r\n\r\n",
		"CR in a request line":            "GET /\rHTTP/1.1\r\n\r\n",
		"CR twice":                        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
		"LF ends a header":                post + "X-A: b\nTransfer-Encoding: chunked\r\n\r\n",
		"LF ends a request line":          "GET / HTTP/1.1\nHost: a\r\n\r\n",
		"LF ends a header section":        "GET / HTTP/1.1\r\nHost: a\r\n\n",
		"LF between requests":             post + "Content-Length: 1\r\n\r\na\n" + get,
		"NUL in a header":                 post + "X-A: \x00\r\n\r\n",
		"NUL in a request line":           "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
		"a chunk without a size":          post + "Transfer-Encoding: chunked\r\n\r\n\r\na\r\n",
		"a chunk with a blank":            post + "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n",
		"a chunk of a signed size":        post + "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n",
		"a chunk of a prefixed size":      post + "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n",
		"a chunk beyond all bounds":       post + "Transfer-Encoding: chunked\r\n\r\n1000000000000001\r\na\r\n",
		"a chunk longer than its size":    post + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		"LF ends a chunk's size":          post + "Transfer-Encoding: chunked\r\n\r\n1\na\r\n",
		"CR in a chunk's size":            post + "Transfer-Encoding: chunked\r\n\r\n1\r\ra\r\n",
		"LF ends a chunk":                 post + "Transfer-Encoding: chunked\r\n\r\n1\r\na\n",
		"LF ends a chunk's extension":     post + "Transfer-Encoding: chunked\r\n\r\n1;a\na\r\n",
		"NUL in a chunk's extension":      post + "Transfer-Encoding: chunked\r\n\r\n1;\x00\r\na\r\n",
		"content length in a trailer":     post + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
		"transfer encoding in a trailer":  post + "Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a folded trailer":                post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n",
		"a request after a broken chunk":  post + "Transfer-Encoding: chunked\r\n\r\n1\r\na" + get,
		"a fault behind a long line":      "GET / HTTP/1.1\r\nX-A: " + strings.Repeat("b", 9000) + "\r\nContent-Length: a\r\n\r\n",
		"a fault at the end of long line": "GET / HTTP/1.1\r\nX-A: " + strings.Repeat("b", 9000) + "\n\r\n",
	}
}

func TestFraming(t *testing.T) {
	sizes := map[string]func() int{
		"at once":       func() int { return 1 << 20 },
		"byte by byte":  func() int { return 1 },
		"any old piece": func() int { return 1 + rand.IntN(30) },
	}
	for arrival, size := range sizes {
		for name, stream := range sound() {
			t.Run(name+", "+arrival, func(t *testing.T) {
				if got, err := throughGuard(stream, size); got != stream || !errors.Is(err, io.EOF) {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		for name, stream := range ambiguous() {
			t.Run(name+", "+arrival, func(t *testing.T) {
				got, err := throughGuard(stream, size)
				if !errors.Is(err, httpx.ErrFraming) || !strings.HasPrefix(stream, got) || len(got) >= len(stream) {
					t.Errorf("got %q, %v", got, err)
				}
				if parsed := bufio.NewReader(strings.NewReader(got)); strings.HasPrefix(stream, "GET / ") {
					if _, err := http.ReadRequest(parsed); err == nil {
						t.Errorf("net/http sees a request in %q", got)
					}
				}
			})
		}
	}
}

// FuzzFraming has any stream in any pieces: net/http sees a part of it from its beginning, and all of it if nothing is refused; the
// pieces make no difference to the verdict; and the guard sees every request end where net/http sees it end.
func FuzzFraming(f *testing.F) {
	for _, streams := range []map[string]string{sound(), ambiguous()} {
		for _, stream := range streams {
			f.Add(stream, uint64(len(stream)))
		}
	}
	f.Fuzz(func(t *testing.T, stream string, seed uint64) {
		whole, verdict := throughGuard(stream, func() int { return len(stream) })
		random := rand.New(rand.NewPCG(seed, 0))
		got, err := throughGuard(stream, func() int { return 1 + random.IntN(40) })
		if errors.Is(err, httpx.ErrFraming) != errors.Is(verdict, httpx.ErrFraming) {
			t.Errorf("got %v in pieces, %v at once", err, verdict)
		}
		if errors.Is(err, io.EOF) && (got != stream || whole != stream) || !strings.HasPrefix(stream, got) || !strings.HasPrefix(stream, whole) {
			t.Errorf("got %q in pieces, %q at once", got, whole)
		}
		ends, looking := httpx.Bounds([]byte(stream))
		for _, end := range requestEnds([]byte(whole)) {
			if !slices.Contains(ends, end) && looking {
				t.Fatalf("a request ends at %d for net/http, at %v for the guard", end, ends)
			}
		}
	})
}

// requestEnds returns the offsets at which requests end in the eyes of net/http.
func requestEnds(stream []byte) (ends []int) {
	source := bytes.NewReader(stream)
	buffered := bufio.NewReader(source)
	for {
		r, err := http.ReadRequest(buffered)
		if err != nil {
			return ends
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return ends
		}
		ends = append(ends, len(stream)-source.Len()-buffered.Buffered())
	}
}

// ordinary is a request as services make them, on a connection that brings it again and again.
func ordinary() (source *pieces, request []byte) {
	text := "GET /inventory/items?limit=20 HTTP/1.1\r\nHost: inventory.internal\r\nUser-Agent: benchmark/1.0\r\nAccept: application/json\r\n" +
		"Accept-Encoding: gzip\r\nX-Request-Id: 0198f0b2-8d43-7d2f-9f53-0f8a7d8b6c11\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n" +
		"Content-Length: 4\r\nAuthorization: Bearer " + strings.Repeat("a", 130) + "\r\n\r\nbody"
	return &pieces{size: func() int { return len(text) }}, []byte(text)
}

func TestGuardAllocatesNothing(t *testing.T) {
	source, request := ordinary()
	conn, buffer := httpx.Guard(source), make([]byte, 4096)
	if n := testing.AllocsPerRun(100, func() {
		source.rest = request
		if n, err := conn.Read(buffer); n != len(request) || err != nil {
			t.Error(n, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

func BenchmarkFraming(b *testing.B) {
	source, request := ordinary()
	conn, buffer := httpx.Guard(source), make([]byte, 4096)
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		source.rest = request
		if n, err := conn.Read(buffer); n != len(request) || err != nil {
			b.Fatal(n, err)
		}
	}
}
