package lb_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/lb"
)

// tryTransport sends one request and returns the status, 0 if there is an error.
func tryTransport(t *testing.T, rt http.RoundTripper, method string, body io.Reader) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://any/", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), nil
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// Routes have their own time, and still the same connections.
func TestWithSharesConnections(t *testing.T) {
	var mu sync.Mutex
	conns := map[string]bool{}
	hang := make(chan struct{})
	u := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		conns[r.RemoteAddr] = true
		mu.Unlock()
		if r.Method == http.MethodPut {
			<-hang
		}
	})
	defer close(hang)
	patient := newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, u.addr)})
	how := patient.Overrides()
	how.ResponseTimeout = 20 * time.Millisecond
	hasty := patient.With(how)
	if hasty.Pool() != patient.Pool() {
		t.Error("another pool")
	}
	for _, rt := range []*lb.Transport{patient, hasty, patient} {
		if _, _, err := tryTransport(t, rt, http.MethodGet, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := tryTransport(t, hasty, http.MethodPut, nil); !isTimeout(err) {
		t.Errorf("hasty: %v, want a timeout", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(conns) != 1 {
		t.Errorf("%d connections", len(conns))
	}
	if s := patient.Pool().Upstreams()[0]; !s.Healthy || s.InFlight != 0 {
		t.Errorf("state %+v", s)
	}
}

// What the client or the network takes is not held against the upstream.
func TestTimeBeforeTheRequestIsSentDoesNotCount(t *testing.T) {
	const limit = 50 * time.Millisecond
	u := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if all, _ := io.ReadAll(r.Body); string(all) == "hang" {
			<-r.Context().Done()
		}
	})
	tr := newTransport(t, lb.TransportConfig{
		Pool: newPool(t, lb.PoolConfig{}, u.addr), Overrides: lb.Overrides{ResponseTimeout: limit},
	})
	for _, tt := range []struct {
		body string
		late bool
	}{{"slow", false}, {"hang", true}} {
		r, w := io.Pipe()
		time.AfterFunc(3*limit, func() {
			io.WriteString(w, tt.body)
			w.Close()
		})
		if _, _, err := tryTransport(t, tr, http.MethodPost, r); isTimeout(err) != tt.late || (err == nil) == tt.late {
			t.Errorf("%s: %v", tt.body, err)
		}
	}
}

func TestTimeToConnectDoesNotCount(t *testing.T) {
	const limit = 50 * time.Millisecond
	backend := startUpstream(t, nil)
	ln := listen(t, "127.0.0.1:0")
	var conns sync.WaitGroup
	conns.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		time.Sleep(3 * limit) // a handshake that takes its time
	})
	t.Cleanup(func() { ln.Close(); conns.Wait() })
	f := startFront(t, lb.TransportConfig{Overrides: lb.Overrides{ResponseTimeout: limit}}, "https://"+ln.Addr().String(), backend.addr)
	if resp, got := f.do(t, http.MethodPost, "/", strings.NewReader("payload"), nil); resp.StatusCode != http.StatusOK || got != "payload" {
		t.Errorf("status %d, body %q: what fails while it connects goes on to the next", resp.StatusCode, got)
	}
}

func TestNoResponseTimeout(t *testing.T) {
	u := startUpstream(t, nil)
	tr := newTransport(t, lb.TransportConfig{
		Pool: newPool(t, lb.PoolConfig{}, u.addr), Overrides: lb.Overrides{ResponseTimeout: -1},
	})
	for range 2 {
		if status, got, err := tryTransport(t, tr, http.MethodPost, struct{ io.Reader }{strings.NewReader("payload")}); status != http.StatusOK || got != "payload" {
			t.Errorf("status %d, body %q, %v", status, got, err)
		}
	}
	if n := tr.Pool().Upstreams()[0].InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	const upstreams = 4
	for _, tt := range []struct {
		name     string
		attempts int
		want     int
	}{
		{"as many as there are", 0, upstreams},
		{"no further one", -1, 1},
		{"one", 1, 2},
		{"two", 2, 3},
		{"more than there are", 9, upstreams},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var dead, breaking []string
			for range upstreams {
				dead = append(dead, deadAddr(t))
				addr, _ := startBreaker(t)
				breaking = append(breaking, addr)
			}
			for name, addrs := range map[string][]string{"refused": dead, "broken": breaking} {
				var trace lb.Trace
				tr := newTransport(t, lb.TransportConfig{
					Pool:      newPool(t, lb.PoolConfig{}, addrs...),
					Overrides: lb.Overrides{Attempts: tt.attempts, Trace: func(*http.Request) *lb.Trace { return &trace }},
				})
				if _, _, err := tryTransport(t, tr, http.MethodGet, nil); err == nil {
					t.Fatal("no error")
				}
				if trace.Attempts != tt.want {
					t.Errorf("%s: %d upstreams were tried, want %d", name, trace.Attempts, tt.want)
				}
			}
		})
	}
}

func TestTraceTellsWhoAnswered(t *testing.T) {
	u := startUpstream(t, nil)
	clock := time.Unix(0, 0)
	type key struct{}
	tr := newTransport(t, lb.TransportConfig{
		Pool: newPool(t, lb.PoolConfig{}, deadAddr(t), u.addr),
		Now:  func() time.Time { clock = clock.Add(time.Second); return clock },
		Overrides: lb.Overrides{Trace: func(r *http.Request) *lb.Trace {
			trace, _ := r.Context().Value(key{}).(*lb.Trace)
			return trace
		}},
	})
	var trace lb.Trace
	for _, ctx := range []context.Context{context.WithValue(t.Context(), key{}, &trace), t.Context()} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://any/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if trace.Upstream != "http://"+u.addr || trace.Attempts != 2 || trace.Took < time.Second {
		t.Errorf("%+v", trace)
	}
}
