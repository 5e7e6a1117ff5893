package lb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/countersign/countersign/lb"
)

func TestDeadUpstreamAtStart(t *testing.T) {
	alive := startUpstream(t, nil)
	f := startFront(t, lb.TransportConfig{}, deadAddr(t), alive.addr)
	for range 10 {
		if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	if s := f.pool.Upstreams(); s[0].Healthy || !s[1].Healthy {
		t.Errorf("states %+v", s)
	}
}

// A long body that cannot be buffered and one of unknown length reach the second upstream whole,
// because nothing of them was sent to the first.
func TestConnectFailureKeepsBody(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4*lb.DefaultReplayBytes/16)
	for _, tt := range []struct {
		name   string
		unsafe bool
		body   io.Reader
		want   string
	}{
		{"short", false, strings.NewReader("payload"), "payload"},
		{"long", false, strings.NewReader(long), long},
		{"long, where requests may be repeated", true, strings.NewReader(long), long},
		{"chunked", false, iotest.OneByteReader(strings.NewReader("payload")), "payload"},
		{"chunked and long, where requests may be repeated", true, struct{ io.Reader }{strings.NewReader(long)}, long},
		{"none", false, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alive := startUpstream(t, nil)
			f := startFront(t, lb.TransportConfig{Overrides: lb.Overrides{RetryUnsafe: tt.unsafe}}, deadAddr(t), alive.addr)
			resp, got := f.do(t, http.MethodPost, "/", tt.body, nil)
			if resp.StatusCode != http.StatusOK || got != tt.want {
				t.Errorf("status %d, %d bytes of body, want %d", resp.StatusCode, len(got), len(tt.want))
			}
			if n := alive.arrivals.Load(); n != 1 {
				t.Errorf("%d arrivals", n)
			}
		})
	}
}

func TestRepeatAfterBytesWereSent(t *testing.T) {
	long := strings.Repeat("x", lb.DefaultReplayBytes+1)
	for _, tt := range []struct {
		name     string
		unsafe   bool
		method   string
		body     string
		header   http.Header
		repeated bool
	}{
		{"GET", false, http.MethodGet, "", nil, true},
		{"DELETE", false, http.MethodDelete, "", nil, true},
		{"PUT", false, http.MethodPut, "payload", nil, true},
		{"PUT too long to keep", false, http.MethodPut, long, nil, false},
		{"POST", false, http.MethodPost, "payload", nil, false},
		{"POST without body", false, http.MethodPost, "", nil, false},
		{"POST with Idempotency-Key", false, http.MethodPost, "", http.Header{"Idempotency-Key": {"k"}}, false},
		{"PATCH", false, http.MethodPatch, "payload", nil, false},
		{"POST where allowed", true, http.MethodPost, "payload", nil, true},
		{"POST where allowed, as long as can be kept", true, http.MethodPost, long[1:], nil, true},
		{"POST where allowed, too long to keep", true, http.MethodPost, long, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			breaker, sent := startBreaker(t)
			alive := startUpstream(t, nil)
			f := startFront(t, lb.TransportConfig{Overrides: lb.Overrides{RetryUnsafe: tt.unsafe}}, breaker, alive.addr)
			resp, got := f.do(t, tt.method, "/", strings.NewReader(tt.body), tt.header)
			status, arrivals := http.StatusBadGateway, int64(0)
			if tt.repeated {
				status, arrivals = http.StatusOK, 1
			}
			if resp.StatusCode != status || (tt.repeated && got != tt.body) {
				t.Errorf("status %d, want %d; %d bytes of body", resp.StatusCode, status, len(got))
			}
			if sent.Load() != 1 || alive.arrivals.Load() != arrivals {
				t.Errorf("arrivals: %d at the one that broke, %d at the other, want 1 and %d", sent.Load(), alive.arrivals.Load(), arrivals)
			}
			if !f.pool.Upstreams()[0].Healthy {
				t.Error("one broken connection took the upstream down")
			}
		})
	}
}

// The repeat that http.Transport makes by itself on kept connections must not undo the rule for
// requests that are not idempotent.
func TestIdempotencyKeyIsNoLeaveToRepeat(t *testing.T) {
	var posts atomic.Int64
	key := make(chan string, 8)
	u := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
			key <- r.Header.Get("Idempotency-Key")
			panic(http.ErrAbortHandler)
		}
	})
	f := startFront(t, lb.TransportConfig{}, u.addr)
	f.do(t, http.MethodGet, "/", nil, nil) // leaves a connection to reuse
	resp, _ := f.do(t, http.MethodPost, "/", nil, http.Header{"Idempotency-Key": {"k1"}})
	if resp.StatusCode != http.StatusBadGateway || posts.Load() != 1 {
		t.Errorf("status %d after %d arrivals", resp.StatusCode, posts.Load())
	}
	if got := <-key; got != "k1" {
		t.Errorf("upstream saw key %q", got)
	}
}

func TestNoRequestFailsWhenAnUpstreamIsKilled(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		unsafe       bool
	}{
		{"GET", http.MethodGet, false},
		{"POST where allowed", http.MethodPost, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const workers, each, killAt = 32, 100, 1000
			a, b := startUpstream(t, nil), startUpstream(t, nil)
			f := startFront(t, lb.TransportConfig{Overrides: lb.Overrides{RetryUnsafe: tt.unsafe}}, a.addr, b.addr)
			var sent, failed atomic.Int64
			var load sync.WaitGroup
			for w := range workers {
				load.Go(func() {
					for i := range each {
						if sent.Add(1) == killAt {
							a.kill()
						}
						body := ""
						if tt.method == http.MethodPost {
							body = fmt.Sprintf("worker %d request %d", w, i)
						}
						resp, got, err := f.try(t.Context(), tt.method, "/", strings.NewReader(body), nil)
						if err != nil || resp.StatusCode != http.StatusOK || got != body {
							failed.Add(1)
						}
					}
				})
			}
			load.Wait()
			if n := failed.Load(); n != 0 {
				t.Errorf("%d of %d requests failed", n, workers*each)
			}
			if s := f.pool.Upstreams(); s[0].Healthy || !s[1].Healthy {
				t.Errorf("states %+v", s)
			}
			if a.arrivals.Load() == 0 {
				t.Error("nothing was in flight when the upstream was killed")
			}
		})
	}
}

func TestRetryBudgetStopsAStorm(t *testing.T) {
	const requests, share, floor = 1000, 200, 100
	a, atA := startBreaker(t)
	b, atB := startBreaker(t)
	frozen := time.Unix(0, 0)
	f := startFront(t, lb.TransportConfig{Now: func() time.Time { return frozen }}, a, b)
	for range requests {
		if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusBadGateway {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	if n := atA.Load() + atB.Load(); n != requests+share+floor {
		t.Errorf("%d arrivals of %d requests, want %d repeats", n, requests, share+floor)
	}
}

func TestRepeatAfterTimeout(t *testing.T) {
	for _, tt := range []struct {
		name     string
		how      lb.Overrides
		method   string
		arrivals int64
	}{
		{name: "not by default", method: http.MethodGet, arrivals: 1},
		{name: "where asked for", how: lb.Overrides{RetryTimeouts: true}, method: http.MethodGet, arrivals: 2},
		{name: "not what must not be repeated", how: lb.Overrides{RetryTimeouts: true}, method: http.MethodPost, arrivals: 1},
		{name: "whatever may be", how: lb.Overrides{RetryTimeouts: true, RetryUnsafe: true}, method: http.MethodPost, arrivals: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			release := make(chan struct{})
			hang := func(http.ResponseWriter, *http.Request) { <-release }
			a, b := startUpstream(t, hang), startUpstream(t, hang)
			tt.how.ResponseTimeout = 20 * time.Millisecond
			f := startFront(t, lb.TransportConfig{Overrides: tt.how}, a.addr, b.addr)
			resp, _ := f.do(t, tt.method, "/", nil, nil)
			close(release)
			if resp.StatusCode != http.StatusGatewayTimeout {
				t.Errorf("status %d", resp.StatusCode)
			}
			if n := a.arrivals.Load() + b.arrivals.Load(); n != tt.arrivals {
				t.Errorf("%d arrivals, want %d", n, tt.arrivals)
			}
		})
	}
}

func TestCancelledRequestIsNotHeldAgainstTheUpstream(t *testing.T) {
	arrived := make(chan struct{}, 2)
	hang := func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}
	a, b := startUpstream(t, hang), startUpstream(t, hang)
	pool := newPool(t, lb.PoolConfig{}, a.addr, b.addr)
	tr := newTransport(t, lb.TransportConfig{Pool: pool})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://any/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("RoundTrip: %v", err)
	}
	if n := a.arrivals.Load() + b.arrivals.Load(); n != 1 {
		t.Errorf("%d arrivals", n)
	}
	for _, s := range pool.Upstreams() {
		if !s.Healthy || s.InFlight != 0 || s.LastError != "" {
			t.Errorf("state %+v", s)
		}
	}
}

// closeRecorder is a body that knows how often it was closed.
type closeRecorder struct {
	io.Reader
	closed atomic.Int64
}

func (c *closeRecorder) Close() error { c.closed.Add(1); return nil }

func TestBodyIsClosedOnce(t *testing.T) {
	for _, tt := range []struct {
		name    string
		unsafe  bool
		reach   bool
		wantErr error
	}{
		{"answered", false, true, nil},
		{"answered, buffered", true, true, nil},
		{"unreachable", false, false, lb.ErrUnreachable},
		{"unreachable, buffered", true, false, lb.ErrUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addrs := []string{deadAddr(t), deadAddr(t)}
			if tt.reach {
				addrs = append(addrs, startUpstream(t, nil).addr)
			}
			tr := newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, addrs...), Overrides: lb.Overrides{RetryUnsafe: tt.unsafe}})
			body := &closeRecorder{Reader: bytes.NewReader([]byte("payload"))}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://any/", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("RoundTrip: %v, want %v", err, tt.wantErr)
			}
			if resp != nil {
				if resp.Request != req || req.URL.Host != "any" {
					t.Error("the caller's request was replaced or changed")
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if n := body.closed.Load(); n != 1 {
				t.Errorf("body closed %d times", n)
			}
		})
	}
}

// An upstream may answer before it has the whole body; what is left is sent while the answer is read.
func TestBodyOutlivesAnEarlyAnswer(t *testing.T) {
	got := make(chan string, 1)
	u := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if c.EnableFullDuplex() != nil || c.Flush() != nil {
			return
		}
		all, _ := io.ReadAll(r.Body)
		got <- string(all)
	})
	for name, addrs := range map[string][]string{"one": {u.addr}, "dead and alive": {deadAddr(t), u.addr}} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, addrs...)})
			r, w := io.Pipe()
			body := &closeRecorder{Reader: r}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://any/", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if n := body.closed.Load(); n != 0 {
				t.Errorf("body closed %d times before its end", n)
			}
			io.WriteString(w, "late")
			w.Close()
			if s := <-got; s != "late" {
				t.Errorf("upstream got %q", s)
			}
			await(t, "close of the body", func() bool { return body.closed.Load() == 1 })
		})
	}
}

// byKey sends every request to the upstream whose address is its key.
type byKey struct{}

func (byKey) Pick(key string, from []*lb.Upstream) *lb.Upstream {
	for _, u := range from {
		if u.Address() == key {
			return u
		}
	}
	return from[0]
}

func TestPolicyGetsTheKey(t *testing.T) {
	a, b := startUpstream(t, nil), startUpstream(t, nil)
	f := startFront(t, lb.TransportConfig{
		Pool:      newPool(t, lb.PoolConfig{Policy: byKey{}}, a.addr, b.addr),
		Overrides: lb.Overrides{Key: func(r *http.Request) string { return "http://" + r.Header.Get("X-To") }},
	})
	for range 3 {
		f.do(t, http.MethodGet, "/", nil, http.Header{"X-To": {b.addr}})
	}
	if a.arrivals.Load() != 0 || b.arrivals.Load() != 3 {
		t.Errorf("arrivals %d and %d", a.arrivals.Load(), b.arrivals.Load())
	}
}

func TestHugeHeadersAreAnError(t *testing.T) {
	u := startUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Huge", strings.Repeat("x", 1<<20)) })
	f := startFront(t, lb.TransportConfig{}, u.addr)
	if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestNewTransportRefuses(t *testing.T) {
	pool := newPool(t, lb.PoolConfig{}, "a:1")
	for name, cfg := range map[string]lb.TransportConfig{
		"no pool":       {},
		"negative dial": {Pool: pool, DialTimeout: -1},
	} {
		if _, err := lb.NewTransport(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
