package ratelimit

import (
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// late is by how much the cache may be early to forget an account that is used; it says so of up to a second.
const late = 2 * time.Second

// local are the accounts of this process.
type local struct {
	accounts *otter.Cache[name, *account]
	now      func() time.Time
}

// account is what one key may still do, kept by the algorithm of gcra.lua.
type account struct {
	name  name
	limit Limit

	mu     sync.Mutex
	full   int64 // the time at which a whole burst is there again, in microseconds since 1970
	untold int   // requests that a Tally has not told Redis of
	queued bool  // a Tally is about to
}

func newLocal(keys int, now func() time.Time) (*local, error) {
	accounts, err := otter.New(&otter.Options[name, *account]{
		MaximumSize: keys,
		ExpiryCalculator: otter.ExpiryAccessingFunc(func(e otter.Entry[name, *account]) time.Duration {
			return e.Value.limit.full() + late
		}),
		Clock: clock{now, now()},
	})
	if err != nil {
		return nil, err
	}
	return &local{accounts, now}, nil
}

func (l *local) close() { l.accounts.StopAllGoroutines() }

func (l *local) take(n name, limit Limit) Verdict {
	a := l.open(n, limit)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.take(l.now())
}

func (l *local) open(n name, limit Limit) *account {
	a, ok := l.accounts.GetIfPresent(n)
	if !ok {
		a, _ = l.accounts.ComputeIfAbsent(n, func() (*account, bool) { return &account{name: n, limit: limit}, false })
	}
	return a
}

// take takes one request, if one is allowed. Whoever calls it or what follows holds mu.
func (a *account) take(now time.Time) Verdict {
	v := a.look(now)
	if !v.Allowed {
		return v
	}
	a.full += a.limit.interval().Microseconds()
	v.Remaining--
	v.Reset += a.limit.interval()
	return v
}

// look says what a request would be told, but for what it would take itself.
func (a *account) look(now time.Time) Verdict {
	interval, burst, at := a.limit.interval().Microseconds(), int64(a.limit.Burst), now.UnixMicro()
	latest := at + interval*burst
	a.full = min(max(a.full, at), latest) // a time that cannot be, since the clock was set back, locks nobody out until then
	v := Verdict{Remaining: int((latest - a.full) / interval), Reset: micros(a.full - at)}
	if v.Allowed = v.Remaining > 0; !v.Allowed {
		v.RetryAfter = micros(a.full + interval - latest)
	}
	return v
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// clock is the time as the cache asks for it, which does not go back when the machine's clock is set.
type clock struct {
	now   func() time.Time
	began time.Time
}

// NowNano implements otter.Clock.
func (c clock) NowNano() int64 { return c.now().Sub(c.began).Nanoseconds() }

// Tick implements otter.Clock.
func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }
