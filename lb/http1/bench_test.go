package http1_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/lb/http1"
)

// BenchmarkExchange is what a request and its answer of 200 bytes cost here, without network: what is written is forgotten, and the
// answer is there as soon as it is read.
func BenchmarkExchange(b *testing.B) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		return &answered{answer: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + strings.Repeat("x", 200)}, nil
	}
	transport := http1.New(http1.Config{Dial: dial, DialTLS: dial, IdleTimeout: time.Minute, MaxIdlePerHost: 64, MaxHeaderBytes: maxHeader})
	b.Cleanup(transport.CloseIdleConnections)
	req := newRequest(b.Context(), b, http.MethodGet, "upstream.test", http.NoBody)
	req.Header = http.Header{"Authorization": {"Bearer token"}, "User-Agent": {"wrk"}, "Accept": {"*/*"}, "X-Forwarded-For": {"192.0.2.1"}}
	b.ReportAllocs()
	for b.Loop() {
		resp, err := transport.Send(req, time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || n != 200 || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, n, err)
		}
		_ = resp.Body.Close()
	}
}

// answered is a connection that answers whatever is written.
type answered struct {
	net.Conn

	answer string
	left   string // of the answer that is being read
}

func (c *answered) Write(p []byte) (int, error) {
	c.left = c.answer
	return len(p), nil
}

func (c *answered) Read(p []byte) (int, error) {
	if c.left == "" {
		return 0, io.EOF
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *answered) Close() error                { return nil }
func (c *answered) SetDeadline(time.Time) error { return nil }
