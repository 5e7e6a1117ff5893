package lb_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/lb"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int) (*http.Response, error) {
	return &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{}}, nil
}

func TestHealthThresholds(t *testing.T) {
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	pass := func(*http.Request) (*http.Response, error) { return answer(http.StatusOK) }
	refuse := func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }
	unready := func(*http.Request) (*http.Response, error) { return answer(http.StatusServiceUnavailable) }
	redirect := func(*http.Request) (*http.Response, error) { return answer(http.StatusNotModified) }

	for _, tt := range []struct {
		name   string
		checks []roundTrip
		want   string // the state after each check
	}{
		{"passes", []roundTrip{pass, pass}, "++"},
		{"falls at the third failure in a row", []roundTrip{refuse, unready, hang}, "++-"},
		{"a pass between starts the count anew", []roundTrip{refuse, refuse, pass, refuse, refuse, redirect}, "+++++-"},
		{"rises at the second pass in a row", []roundTrip{refuse, refuse, refuse, pass, refuse, pass, pass}, "++----+"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var turn atomic.Int64
				client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.String() != "http://admin:2/live" {
						t.Errorf("checked %s", r.URL)
					}
					return tt.checks[turn.Add(1)-1](r)
				})}
				pool := newPool(t, lb.PoolConfig{
					Targets: []lb.Target{{URL: "main:1", Health: "http://admin:2"}},
					Health:  lb.Health{Path: "/live", Interval: 10 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Client: client},
				})
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { pool.Run(ctx) })
				var got strings.Builder
				for i := range tt.checks {
					time.Sleep(5 * time.Second) // the bubble's clock: halfway between two checks
					synctest.Wait()
					if n := turn.Load(); n != int64(i+1) {
						t.Fatalf("%d checks after %d intervals", n, i)
					}
					state := "-"
					if pool.Upstreams()[0].Healthy {
						state = "+"
					}
					got.WriteString(state)
					if i < len(tt.checks)-1 {
						time.Sleep(5 * time.Second)
					}
				}
				cancel()
				run.Wait()
				if got.String() != tt.want {
					t.Errorf("states %s, want %s", got.String(), tt.want)
				}
			})
		})
	}
}

func TestEndOfRunIsNoFailedCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		pool := newPool(t, lb.PoolConfig{Health: lb.Health{Timeout: time.Minute, Fall: 1, Client: client}}, "a:1")
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { pool.Run(ctx) })
		synctest.Wait()
		cancel()
		run.Wait()
		if s := pool.Upstreams()[0]; !s.Healthy || s.LastError != "" {
			t.Errorf("state %+v", s)
		}
	})
}

// events passes on the message of each log line.
type events struct{ ch chan string }

func (events) Enabled(context.Context, slog.Level) bool { return true }
func (e events) Handle(_ context.Context, r slog.Record) error {
	e.ch <- r.Message
	return nil
}
func (e events) WithAttrs([]slog.Attr) slog.Handler { return e }
func (e events) WithGroup(string) slog.Handler      { return e }

func (e events) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-e.ch:
		if got != want {
			t.Fatalf("logged %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%q was not logged within 10 s", want)
	}
}

func TestKilledUpstreamComesBackByHealthCheck(t *testing.T) {
	changes := events{make(chan string, 8)}
	a, b := startUpstream(t, nil), startUpstream(t, nil)
	pool := newPool(t, lb.PoolConfig{
		Logger: slog.New(changes),
		Health: lb.Health{Interval: 5 * time.Millisecond, Timeout: 5 * time.Second, Fall: 1 << 30},
	}, a.addr, b.addr)
	f := startFront(t, lb.TransportConfig{Pool: pool})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { pool.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })

	a.kill()
	for range 2 {
		if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	changes.expect(t, "upstream down")
	again := serveUpstream(t, listen(t, a.addr), func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	changes.expect(t, "upstream up")
	before := again.arrivals.Load()
	for range 4 {
		f.do(t, http.MethodGet, "/x", nil, nil)
	}
	if again.arrivals.Load() < before+2 {
		t.Error("the upstream gets no requests after it came back")
	}
}
