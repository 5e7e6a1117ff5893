package lb_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/lb"
)

// upstream is a real server that can be killed.
type upstream struct {
	addr     string
	arrivals atomic.Int64
	conns    atomic.Int64 // open
	server   *http.Server
}

// startUpstream serves handler, or an echo of the request's body, on a free port.
func startUpstream(t testing.TB, handler http.HandlerFunc) *upstream {
	t.Helper()
	return serveUpstream(t, listen(t, "127.0.0.1:0"), handler)
}

func serveUpstream(t testing.TB, ln net.Listener, handler http.HandlerFunc) *upstream {
	t.Helper()
	if handler == nil {
		handler = echo
	}
	u := &upstream{addr: ln.Addr().String()}
	u.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.arrivals.Add(1)
		handler(w, r)
	})}
	u.server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			u.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			u.conns.Add(-1)
		case http.StateActive, http.StateIdle:
		}
	}
	var served sync.WaitGroup
	served.Go(func() { u.server.Serve(ln) })
	t.Cleanup(func() {
		u.kill()
		served.Wait()
	})
	return u
}

// kill closes the listener and every connection, as the end of the process would.
func (u *upstream) kill() { u.server.Close() }

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Write(body)
}

// startBreaker accepts connections, reads one whole request from each, and hangs up.
func startBreaker(t testing.TB) (addr string, arrivals *atomic.Int64) {
	t.Helper()
	ln := listen(t, "127.0.0.1:0")
	arrivals = new(atomic.Int64)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)
				arrivals.Add(1)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		conns.Wait()
	})
	return ln.Addr().String(), arrivals
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// deadAddr is an address at which nothing listens.
func deadAddr(t testing.TB) string {
	t.Helper()
	ln := listen(t, "127.0.0.1:0")
	ln.Close()
	return ln.Addr().String()
}

func newPool(t testing.TB, cfg lb.PoolConfig, addrs ...string) *lb.Pool {
	t.Helper()
	for _, a := range addrs {
		cfg.Targets = append(cfg.Targets, lb.Target{URL: a})
	}
	p, err := lb.NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newTransport(t testing.TB, cfg lb.TransportConfig) *lb.Transport {
	t.Helper()
	tr, err := lb.NewTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// front is a load balancer under a real server, with its log and a client.
type front struct {
	url    string
	pool   *lb.Pool
	client *http.Client
	log    *logBook
	done   chan struct{} // gets one value per request served, as long as there is room
}

func startFront(t testing.TB, cfg lb.TransportConfig, addrs ...string) *front {
	t.Helper()
	return startFrontBehind(t, nil, cfg, addrs...)
}

// startFrontBehind is a front that trusts proxies.
func startFrontBehind(t testing.TB, proxies httpx.Proxies, cfg lb.TransportConfig, addrs ...string) *front {
	t.Helper()
	f := &front{log: new(logBook), done: make(chan struct{}, 1)}
	logger := slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Pool == nil {
		cfg.Pool = newPool(t, lb.PoolConfig{Name: "test"}, addrs...)
	}
	f.pool = cfg.Pool
	handler, err := lb.New(lb.Config{Transport: newTransport(t, cfg), Logger: logger, Proxies: proxies})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			select {
			case f.done <- struct{}{}:
			default:
			}
		}()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	base := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	t.Cleanup(base.CloseIdleConnections)
	f.url, f.client = server.URL, &http.Client{Transport: base}
	return f
}

// do sends a request and returns the answer with its body read.
func (f *front) do(t testing.TB, method, path string, body io.Reader, header http.Header) (*http.Response, string) {
	t.Helper()
	resp, text, err := f.try(t.Context(), method, path, body, header)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

func (f *front) try(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, body)
	if err != nil {
		return nil, "", err
	}
	maps.Copy(req.Header, header)
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// logBook collects log lines.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await polls until done holds, for what happens after an answer without an event of its own.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("no %s within 10 s", what)
		}
	}
}
