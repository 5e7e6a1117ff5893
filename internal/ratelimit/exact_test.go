package ratelimit_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

// TestNeverMore asks for the same key from many goroutines at the same time, through two gateways that share a Redis and
// through one that has none.
func TestNeverMore(t *testing.T) {
	url := testbed.Redis(t).URL()
	patient := redisconn.Config{Budget: 10 * time.Second} // no fallback, however slow the machine is
	shared := func() *ratelimit.Limiter {
		return open(t, ratelimit.Config{Redis: connect(t, url, patient)})
	}
	for _, tt := range []struct {
		name     string
		gateways []*ratelimit.Limiter
	}{
		{"by redis", []*ratelimit.Limiter{shared(), shared()}},
		{"in process", []*ratelimit.Limiter{open(t, ratelimit.Config{})}},
	} {
		for _, limit := range []ratelimit.Limit{
			{Requests: 100, Per: time.Second, Burst: 20},
			{Requests: 3000, Per: time.Second, Burst: 1},
			{Requests: 1, Per: time.Hour, Burst: 50},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				passed, refused, took := hammer(t, tt.gateways, limit)
				most := int64(limit.Burst) + int64(took/limit.Interval()) + 1 // the last one began before it was over
				if passed > most {
					t.Errorf("%d requests passed %+v in %v, want at most %d", passed, limit, took, most)
				}
				if passed < int64(limit.Burst) || refused == 0 {
					t.Errorf("%d requests passed %+v, %d did not", passed, limit, refused)
				}
			})
		}
	}
}

func hammer(t *testing.T, gateways []*ratelimit.Limiter, limit ratelimit.Limit) (passed, refused int64, took time.Duration) {
	var yes, no atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for i := range 16 {
		all.Go(func() {
			for time.Since(began) < 300*time.Millisecond || no.Load() == 0 {
				if gateways[i%len(gateways)].Allow(t.Context(), "key", limit).Allowed {
					yes.Add(1)
				} else {
					no.Add(1)
				}
			}
		})
	}
	all.Wait()
	return yes.Load(), no.Load(), time.Since(began)
}

func TestKeysAreApart(t *testing.T) {
	limit := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 1}
	other := ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 2}
	for name, limiter := range map[string]*ratelimit.Limiter{
		"by redis":   open(t, ratelimit.Config{Redis: connect(t, testbed.Redis(t).URL(), redisconn.Config{Budget: 10 * time.Second})}),
		"in process": open(t, ratelimit.Config{}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, key := range []string{"", "a", "b", "a\r\nSET x 1\r\n", "a\x00", string(make([]byte, 1<<20))} {
				for _, l := range []ratelimit.Limit{limit, other} {
					first := limiter.Allow(t.Context(), key, l)
					if !first.Allowed || first.Remaining != l.Burst-1 {
						t.Errorf("first request of %.10q: %+v", key, first)
					}
				}
				if second := limiter.Allow(t.Context(), key, limit); second.Allowed || second.RetryAfter > time.Hour {
					t.Errorf("second request of %.10q: %+v", key, second)
				}
			}
		})
	}
}

// TestTimeCountsOnce has a clock that others overtake between reading and using it.
func TestTimeCountsOnce(t *testing.T) {
	var read atomic.Int64
	limiter := open(t, ratelimit.Config{Now: func() time.Time {
		now := time.UnixMicro(1.8e15 + read.Add(1))
		runtime.Gosched()
		return now
	}})
	limit := ratelimit.Limit{Requests: 10_000, Per: time.Second, Burst: 5000}
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5000 {
				if limiter.Allow(t.Context(), "key", limit).Allowed {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if most := read.Load()/100 + int64(limit.Burst); passed.Load() > most {
		t.Errorf("%d requests passed in %d µs, want at most %d", passed.Load(), read.Load(), most)
	}
}
