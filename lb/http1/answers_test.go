package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign/countersign/lb/http1"
)

const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

type scripted struct {
	name     string
	method   string // GET
	text     string
	stricter bool  // http.Transport makes something of it
	conns    int64 // for two requests; 0: two, or one where both failed
}

// answers are what servers may say. All must be understood as http.Transport does, except for those that are refused more strictly.
func answers() []scripted {
	return []scripted{
		{name: "with a length", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello", conns: 1},
		{name: "without reason", text: "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", conns: 1},
		{name: "without reason or blank", text: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", conns: 1},
		{name: "other status", text: "HTTP/1.1 599 Odd  reason\r\nContent-Length: 1\r\n\r\nx", conns: 1},
		{name: "names in lower case, tabs and no blank", text: "HTTP/1.1 200 OK\r\ncontent-length:5\r\nx-a:\t b \t\r\nX-Empty:\r\n\r\nhello", conns: 1},
		{name: "obsolete text in a value", text: "HTTP/1.1 200 OK\r\nX-A: \xe4\r\nContent-Length: 0\r\n\r\n", conns: 1},
		{name: "close", text: "HTTP/1.1 200 OK\r\nConnection: X-B, Close\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "to the end of the connection", text: "HTTP/1.1 200 OK\r\n\r\nhello"},
		{name: "HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "HTTP/1.0 kept", text: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", conns: 1},
		{name: "chunked", text: chunked + "2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n", conns: 1},
		{name: "chunked, no chunk", text: chunked + "0\r\n\r\n", conns: 1},
		{name: "trailer", text: "HTTP/1.1 200 OK\r\nTrailer: x-sum, X-More\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n", conns: 1},
		{name: "trailer that was not announced", text: chunked + "5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n", conns: 1},
		{name: "trailer of no chunks", text: "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 5\r\n\r\nhello", conns: 1},
		{name: "HEAD", method: http.MethodHead, text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", conns: 1},
		{name: "HEAD without length", method: http.MethodHead, text: "HTTP/1.1 200 OK\r\n\r\n", conns: 1},
		{name: "HEAD of chunks", method: http.MethodHead, text: chunked, conns: 1},
		{name: "HEAD with a body", method: http.MethodHead, text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "204", text: "HTTP/1.1 204 No Content\r\n\r\n", conns: 1},
		{name: "204 of no bytes", text: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", conns: 1},
		{name: "204 with a body", text: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "304", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: \"a\"\r\n\r\n", conns: 1},
		{name: "interim", text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", conns: 1},
		{name: "large header", text: "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", maxHeader/2) + "\r\nX-B: " + strings.Repeat("b", 4000) + "\r\nContent-Length: 5\r\n\r\nhello", conns: 1},
		{name: "more than was asked for", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"},

		{name: "nothing", text: ""},
		{name: "no HTTP", text: "SSH-2.0-OpenSSH\r\n\r\n"},
		{name: "not a number", text: "HTTP/1.1 2x0 OK\r\n\r\n"},
		{name: "half a header", text: "HTTP/1.1 200 OK\r\nContent-Le"},
		{name: "half a body", text: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"},
		{name: "half a chunk", text: chunked + "9\r\nhello"},
		{name: "no last chunk", text: chunked + "5\r\nhello\r\n"},
		{name: "half a trailer", text: chunked + "5\r\nhello\r\n0\r\nX-Sum: 7\r\n"},
		{name: "size that is none", text: chunked + "5x\r\nhello\r\n0\r\n\r\n"},
		{name: "size that is too large", text: chunked + "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"},
		{name: "chunk that is longer than its size", text: chunked + "4\r\nhello\r\n0\r\n\r\n"},
		{name: "chunk lines that end by LF", text: chunked + "5\nhello\r\n0\r\n\r\n"},
		{name: "huge header", text: "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 2*maxHeader) + "\r\nContent-Length: 0\r\n\r\n"},
		{name: "interim answers without end", text: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 2*maxHeader/26) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{name: "blank before a colon", stricter: true, text: "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"},
		{name: "blank before a name", text: "HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\nhello"},
		{name: "line without a colon", text: "HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "line without a name", text: "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "two lengths", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello"},
		{name: "negative length", text: "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"},
		{name: "signed length", text: "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"},
		{name: "hexadecimal length", text: "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"},
		{name: "lengths in a list", text: "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello"},
		{name: "length that is too large", text: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello"},
		{name: "other transfer encoding", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{name: "chunked twice", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{name: "announced trailer of framing", text: "HTTP/1.1 200 OK\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},

		{name: "length and chunks", stricter: true, text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{name: "same length twice", stricter: true, text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "chunks of HTTP/1.0", stricter: true, text: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{name: "folded line", stricter: true, text: "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "LF alone", stricter: true, text: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"},
		{name: "LF alone between lines", stricter: true, text: "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 5\r\n\r\nhello"},
		{name: "CR within a value", text: "HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "NUL within a value", text: "HTTP/1.1 200 OK\r\nX-A: b\x00\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "HTTP/2.0", stricter: true, text: "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "status of two digits", stricter: true, text: "HTTP/1.1 020 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "101", stricter: true, text: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello"},
		{name: "interim with a length", stricter: true, text: "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{name: "trailer of framing", stricter: true, text: chunked + "5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n"},
	}
}

// Each answer is asked for twice, so that what one leaves behind would be taken for a part of the next. [http.Transport] gets
// a new connection each time: whether it finds in time what was left behind is a matter of luck.
func TestAnswersAreThoseOfHTTPTransport(t *testing.T) {
	t.Parallel()
	for _, tt := range answers() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := startScript(t, answering(tt.text, tt.conns != 1))
			usual := func() outcome {
				transport := &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxHeader, ResponseHeaderTimeout: 10 * time.Second}
				defer transport.CloseIdleConnections()
				return do(transport, newRequest(t.Context(), t, tt.method, server.address, nil))
			}
			ours := newTransport(t)
			for range 2 {
				got := do(ours, newRequest(t.Context(), t, tt.method, server.address, nil))
				if tt.stricter {
					if got.Err == nil {
						t.Fatalf("passed: %+v", got)
					}
					if theirs := usual(); theirs.Failed {
						t.Fatalf("not stricter: %v", theirs.Err)
					}
					continue
				}
				before := server.conns.Load()
				want := usual()
				server.conns.Add(before - server.conns.Load()) // only ours count
				if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(outcome{}, "Err")); diff != "" {
					t.Fatalf("%v, %v: %s", want.Err, got.Err, diff)
				}
			}
			if n := server.conns.Load(); !tt.stricter && tt.conns == 1 && n != 1 {
				t.Errorf("%d connections for two requests", n)
			}
		})
	}
}

// A server that says that it is at work, and never comes to an end, keeps nobody busy for good, whoever is told of it.
func TestInterimAnswersWithoutEnd(t *testing.T) {
	t.Parallel()
	const interim = "HTTP/1.1 102 Processing\r\n\r\n"
	server := startScript(t, func(conn net.Conn, requests *bufio.Reader) {
		if _, err := http.ReadRequest(requests); err != nil {
			return
		}
		for piece := strings.Repeat(interim, 100); ; {
			if _, err := io.WriteString(conn, piece); err != nil {
				return
			}
		}
	})
	told := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
		if told++; told > 2*maxHeader/len(interim) {
			return errors.New("told more often than there was to be told")
		}
		return nil
	}})
	got := do(newTransport(t), newRequest(ctx, t, http.MethodGet, server.address, nil))
	if !errors.Is(got.Err, http1.ErrAnswer) || told == 0 {
		t.Errorf("told of %d: %v", told, got.Err)
	}
}

// However an answer is cut into pieces, it is the same.
func TestAnswersInPieces(t *testing.T) {
	t.Parallel()
	for _, tt := range answers() {
		if len(tt.text) > 300 || tt.conns != 1 {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole := startScript(t, answering(tt.text, false))
			server := startScript(t, func(conn net.Conn, requests *bufio.Reader) {
				if _, err := http.ReadRequest(requests); err != nil {
					return
				}
				for n := range len(tt.text) {
					if _, err := conn.Write([]byte(tt.text[n : n+1])); err != nil {
						return
					}
				}
				_, _ = requests.ReadByte()
			})
			ours := newTransport(t)
			want := do(ours, newRequest(t.Context(), t, tt.method, whole.address, nil))
			got := do(ours, newRequest(t.Context(), t, tt.method, server.address, nil))
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(outcome{}, "Err")); diff != "" || got.Err != nil {
				t.Errorf("%v: %s", got.Err, diff)
			}
		})
	}
}

// fakeConn is a connection whose other end has said all it says.
type fakeConn struct {
	net.Conn

	said *bytes.Reader
}

func (c fakeConn) Read(p []byte) (int, error)       { return c.said.Read(p) }
func (c fakeConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c fakeConn) Close() error                     { return nil }
func (c fakeConn) SetDeadline(time.Time) error      { return nil }
func (c fakeConn) SetReadDeadline(time.Time) error  { return nil }
func (c fakeConn) SetWriteDeadline(time.Time) error { return nil }
