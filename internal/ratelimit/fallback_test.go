package ratelimit_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

// budget is of the calls to Redis here: longer than the default, since the machine may be busy.
const budget = 200 * time.Millisecond

// slack is what a loaded machine may take on top of a budget.
const slack = 2 * time.Second

// TestRedisFails breaks Redis in every way: the gateway goes on by itself under the same limit, and with Redis once that is back.
func TestRedisFails(t *testing.T) {
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 5}
	for _, tt := range []struct {
		name  string
		spoil func(*testbed.Server, *testbed.Proxy)
		mend  func(*testbed.Server, *testbed.Proxy)
	}{
		{"killed", func(s *testbed.Server, _ *testbed.Proxy) { s.Kill() }, func(s *testbed.Server, _ *testbed.Proxy) { s.Start() }},
		{"hung", func(s *testbed.Server, _ *testbed.Proxy) { s.Pause() }, func(s *testbed.Server, _ *testbed.Proxy) { s.Resume() }},
		{"black hole", func(_ *testbed.Server, p *testbed.Proxy) { p.BlackHole() }, func(_ *testbed.Server, p *testbed.Proxy) { p.Pass() }},
		{"refused", func(_ *testbed.Server, p *testbed.Proxy) { p.Refuse() }, func(_ *testbed.Server, p *testbed.Proxy) { p.Pass() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := testbed.StartRedis(t)
			proxy := testbed.StartProxy(t, server.Addr())
			conn := connect(t, "redis://"+proxy.Addr(), redisconn.Config{Budget: budget})
			metrics := newFallbacks()
			limiter := open(t, ratelimit.Config{Redis: conn, Fallbacks: metrics})
			expectBurstOfRedis(t, limiter, metrics, limit)
			before := fallbacks(t, metrics)

			tt.spoil(server, proxy)
			const requests = 100
			slow := 0
			for i := range requests {
				began := time.Now()
				v := limiter.Allow(t.Context(), "while", limit)
				took := time.Since(began)
				if v.Allowed != (i < limit.Burst) {
					t.Errorf("request %d: %+v", i, v)
				}
				if took > budget+slack {
					t.Errorf("request %d took %v", i, took)
				}
				if took > budget/2 {
					slow++
				}
			}
			if slow > requests/4 {
				t.Errorf("%d of %d requests waited for Redis", slow, requests)
			}
			if n := fallbacks(t, metrics) - before; n != requests {
				t.Errorf("%d fallbacks, want %d", n, requests)
			}

			tt.mend(server, proxy)
			testbed.Wait(t, 10*time.Second, func() error { return conn.Ping(t.Context()) })
			expectBurstOfRedis(t, limiter, metrics, limit)
		})
	}
}

// expectBurstOfRedis tries until Redis was in time for each request.
func expectBurstOfRedis(t *testing.T, limiter *ratelimit.Limiter, metrics prometheus.Counter, limit ratelimit.Limit) {
	t.Helper()
	testbed.Wait(t, 10*time.Second, func() error {
		before, passed := fallbacks(t, metrics), 0
		key := rand.Text()
		for range limit.Burst + 1 {
			if limiter.Allow(t.Context(), key, limit).Allowed {
				passed++
			}
		}
		switch {
		case fallbacks(t, metrics) != before:
			return errors.New("redis was not in time")
		case passed != limit.Burst:
			t.Errorf("%d requests passed, want %d", passed, limit.Burst)
		}
		return nil
	})
}

func expectBurst(t *testing.T, limiter *ratelimit.Limiter, key string, limit ratelimit.Limit) {
	t.Helper()
	for i := range limit.Burst + 1 {
		if v := limiter.Allow(t.Context(), key, limit); v.Allowed != (i < limit.Burst) {
			t.Errorf("request %d: %+v", i, v)
		}
	}
}

// TestRedisRefuses has a Redis that answers with errors: a user who may not run scripts.
func TestRedisRefuses(t *testing.T) {
	redis := testbed.StartRedis(t, "--user", "gateway", "on", ">x", "~csr:*", "-@all", "+ping")
	conn := connect(t, strings.Replace(redis.URL(), "://", "://gateway:x@", 1), redisconn.Config{Budget: 10 * time.Second})
	metrics := newFallbacks()
	limiter := open(t, ratelimit.Config{Redis: conn, Fallbacks: metrics})
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 5}
	expectBurst(t, limiter, "k", limit)
	expectFallbacks(t, metrics, limit.Burst+1)
}

// TestEndedContext is a caller who is gone: no failure of Redis.
func TestEndedContext(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL(), redisconn.Config{Budget: 10 * time.Second})
	metrics := newFallbacks()
	limiter := open(t, ratelimit.Config{Redis: conn, Fallbacks: metrics})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := limiter.Allow(ctx, "k", ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 1}); !v.Allowed {
		t.Errorf("verdict %+v", v)
	}
	expectFallbacks(t, metrics, 0)
}

func newFallbacks() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "fallbacks"})
}

func expectFallbacks(t *testing.T, metrics prometheus.Counter, want int) {
	t.Helper()
	if got := fallbacks(t, metrics); got != want {
		t.Errorf("%d fallbacks, want %d", got, want)
	}
}

func fallbacks(t *testing.T, metrics prometheus.Counter) int {
	t.Helper()
	return int(testutil.ToFloat64(metrics))
}

func TestNew(t *testing.T) {
	if _, err := ratelimit.New(ratelimit.Config{Keys: -1}); err == nil {
		t.Error("a negative number of keys is accepted by New")
	}
	if _, err := ratelimit.NewTally(ratelimit.Config{Keys: -1}); err == nil {
		t.Error("a negative number of keys is accepted by NewTally")
	}
}
