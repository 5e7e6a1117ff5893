package ratelimit_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

// model is a bucket that fills by one microsecond each microsecond, and of which a request takes an interval.
type model struct {
	interval, size, level int64
	at                    time.Time
}

func newModel(l ratelimit.Limit, now time.Time) *model {
	interval := l.Interval().Microseconds()
	size := interval * int64(l.Burst)
	return &model{interval, size, size, now}
}

func (m *model) take(now time.Time) ratelimit.Verdict {
	m.level = min(m.size, m.level+now.Sub(m.at).Microseconds())
	m.at = now
	v := ratelimit.Verdict{Allowed: m.level >= m.interval}
	if v.Allowed {
		m.level -= m.interval
		v.Remaining = int(m.level / m.interval)
	} else {
		v.RetryAfter = micros(m.interval - m.level)
	}
	v.Reset = micros(m.size - m.level)
	return v
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// limits draws any limit that is valid.
func limits(t *rapid.T) ratelimit.Limit {
	return rapid.Custom(func(t *rapid.T) ratelimit.Limit {
		return ratelimit.Limit{
			Requests: rapid.IntRange(1, 1_000_000).Draw(t, "requests"),
			Per:      micros(rapid.Int64Range(1, 24*3600*1e6).Draw(t, "per")),
			Burst:    rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, ratelimit.MaxBurst)).Draw(t, "burst"),
		}
	}).Filter(func(l ratelimit.Limit) bool { return l.Validate() == nil }).Draw(t, "limit")
}

// steps draws the times between requests: none, about an interval, or anything until all is there again.
func steps(t *rapid.T, l ratelimit.Limit) []time.Duration {
	interval := l.Interval().Microseconds()
	one := rapid.Custom(func(t *rapid.T) time.Duration {
		return micros(rapid.OneOf(
			rapid.Just(int64(0)),
			rapid.Int64Range(0, 2*interval),
			rapid.Int64Range(interval-1, interval+1),
			rapid.Int64Range(0, 2*interval*int64(l.Burst)),
		).Draw(t, "µs"))
	})
	return rapid.SliceOfN(one, 1, 40).Draw(t, "steps")
}

func start(t *rapid.T) time.Time {
	return time.UnixMicro(rapid.Int64Range(1e15, 4e15).Draw(t, "start")) // 2001 to 2096
}

func TestScriptAgreesWithModel(t *testing.T) {
	conn := connect(t, testbed.Redis(t).URL(), redisconn.Config{Budget: 10 * time.Second})
	ledger, err := ratelimit.NewLedger(conn)
	if err != nil {
		t.Fatal(err)
	}
	key := 0
	rapid.Check(t, func(t *rapid.T) {
		key++
		limit, now := limits(t), start(t)
		m := newModel(limit, now)
		for i, step := range steps(t, limit) {
			now = now.Add(step)
			got, err := ledger.Take(t.Context(), strconv.Itoa(key), limit, now)
			if err != nil {
				t.Fatal(err)
			}
			if want := m.take(now); got != want {
				t.Fatalf("request %d of %+v: %+v, want %+v", i, limit, got, want)
			}
		}
	})
}

func TestProcessAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, now := limits(t), start(t)
		var c clock
		c.set(now)
		limiter, err := ratelimit.New(ratelimit.Config{Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(limit, now)
		for i, step := range steps(t, limit) {
			now = now.Add(step)
			c.set(now)
			if got, want := limiter.Allow(t.Context(), "key", limit), m.take(now); got != want {
				t.Fatalf("request %d of %+v: %+v, want %+v", i, limit, got, want)
			}
		}
	})
}

// clock is set by a test and read by whoever forgets accounts, too.
type clock struct{ at atomic.Int64 }

func (c *clock) set(t time.Time) { c.at.Store(t.UnixNano()) }
func (c *clock) now() time.Time  { return time.Unix(0, c.at.Load()) }

func connect(t testing.TB, url string, cfg redisconn.Config) *redisconn.Conn {
	t.Helper()
	conn, err := redisconn.Open(url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}
