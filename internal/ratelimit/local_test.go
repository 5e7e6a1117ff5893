package ratelimit_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/ratelimit"
)

func TestMemoryIsBounded(t *testing.T) {
	const bound = 1000
	limiter := open(t, ratelimit.Config{Keys: bound})
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 1}
	for i := range 20 * bound {
		limiter.Allow(t.Context(), strconv.Itoa(i), limit)
	}
	if n := limiter.Accounts(); n > bound {
		t.Errorf("%d accounts in memory, want at most %d", n, bound)
	}
}

// TestForgotten uses an account so rarely that it is forgotten once that makes no difference, and not before.
func TestForgotten(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var c clock
	c.set(now)
	limiter := open(t, ratelimit.Config{Now: c.now})
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 3}
	for range limit.Burst {
		limiter.Allow(t.Context(), "k", limit)
	}
	now = now.Add(3*time.Hour - time.Second)
	c.set(now)
	if v := limiter.Allow(t.Context(), "k", limit); v.Remaining != 1 {
		t.Errorf("a second too early: %+v", v)
	}
	now = now.Add(3*time.Hour + time.Minute)
	c.set(now)
	if n := limiter.Accounts(); n != 0 {
		t.Errorf("%d accounts in memory", n)
	}
	if v := limiter.Allow(t.Context(), "k", limit); v.Remaining != 2 {
		t.Errorf("afterwards: %+v", v)
	}
}

func TestKnownKeyCostsNoMemory(t *testing.T) {
	limiter := open(t, ratelimit.Config{})
	limit := ratelimit.Limit{Requests: 100, Per: time.Second, Burst: 20}
	ctx := t.Context()
	limiter.Allow(ctx, "cl_01tuWW4FooBN9IDJ2Mf77U", limit)
	if n := testing.AllocsPerRun(1000, func() { limiter.Allow(ctx, "cl_01tuWW4FooBN9IDJ2Mf77U", limit) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAllow(b *testing.B) {
	limiter := open(b, ratelimit.Config{})
	limit := ratelimit.Limit{Requests: 100, Per: time.Second, Burst: 20}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		key := "cl_" + strconv.Itoa(time.Now().Nanosecond())
		for p.Next() {
			limiter.Allow(b.Context(), key, limit)
		}
	})
}
