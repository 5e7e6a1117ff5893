package lb_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/lb"
)

// net/http cancels the context of a request that it cannot read on. The client, which is still there, is told what it did wrong, and not
// taken for one that has left.
func TestClientOfABrokenBodyIsAnswered(t *testing.T) {
	u := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	pool := newPool(t, lb.PoolConfig{Name: "test"}, u.addr)
	handler, err := lb.New(lb.Config{Transport: newTransport(t, lb.TransportConfig{Pool: pool}), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ln, ended := listen(t, "127.0.0.1:0"), make(chan error, 1)
	go func() {
		ended <- httpx.Serve(ctx, httpx.ServeConfig{Listener: ln, Handler: handler, Log: slog.New(slog.DiscardHandler), ReadTimeout: 50 * time.Millisecond})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name, send string
		status     int
	}{
		{"broken chunk", chunked + "1\r\na\r\nnonsense\r\n", http.StatusBadRequest},
		{"broken trailer", chunked + "1\r\na\r\n0\r\nContent-Length: 1\r\n\r\n", http.StatusBadRequest},
		{"too slow, in chunks", chunked + "1\r\na\r\n", http.StatusRequestTimeout},
		{"too slow", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na", http.StatusRequestTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 5 {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, tt.send)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != tt.status || !resp.Close {
					t.Errorf("got %d, closed %t, want %d", resp.StatusCode, resp.Close, tt.status)
				}
			}
		})
	}
}
