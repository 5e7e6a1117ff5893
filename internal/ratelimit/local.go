package ratelimit

import (
	"sync"
	"time"

	"github.com/countersign/countersign/internal/bounded"
)

// late is for how long an account is kept beyond its use, so that nobody takes from one that was forgotten meanwhile.
const late = 2 * time.Second

// local are the accounts of this process.
type local struct {
	accounts *bounded.Map[name, *account]
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

// Until implements bounded.Value: from then on the account is as good as a new one.
func (a *account) Until() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.UnixMicro(a.full).Add(late)
}

func newLocal(keys int, now func() time.Time) *local {
	return &local{bounded.New[name, *account](keys), now}
}

func (l *local) take(n name, limit Limit) Verdict {
	a := l.open(n, limit)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.take(l.now())
}

func (l *local) open(n name, limit Limit) *account {
	a, ok := l.accounts.Get(n)
	if !ok {
		now := l.now()
		a = l.accounts.Add(n, &account{name: n, limit: limit, full: now.UnixMicro()}, now)
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
