package revocation

import (
	"math"
	"sync/atomic"
	"time"
)

// never is before every reading of the clock.
const never = math.MinInt64

// lease is until when the state may be vouched for, in nanoseconds of the process's monotonic clock since origin. It is safe for
// concurrent use; one goroutine at a time renews it.
type lease struct {
	origin time.Time
	bound  time.Duration
	end    atomic.Int64 // never: there was none
	known  atomic.Int64 // when the state was last known to be true; never: it was not
}

func newLease(bound time.Duration) *lease {
	l := &lease{origin: time.Now(), bound: bound}
	l.end.Store(never)
	l.known.Store(never)
	return l
}

func (l *lease) since(t time.Time) int64 { return int64(t.Sub(l.origin)) }

// renew says that the state was true at the time known. Neither end nor age ever move back.
func (l *lease) renew(known int64) {
	l.remember(known)
	l.end.Store(max(l.end.Load(), known+int64(l.bound)))
}

// remember says that the state was true at the time known, which is not enough to vouch for it.
func (l *lease) remember(known int64) { l.known.Store(max(l.known.Load(), known)) }

func (l *lease) fresh(now time.Time) bool { return l.since(now) < l.end.Load() }

func (l *lease) left(now time.Time) time.Duration {
	if !l.fresh(now) {
		return 0
	}
	return time.Duration(l.end.Load() - l.since(now))
}

func (l *lease) age(now time.Time) (time.Duration, bool) {
	known := l.known.Load()
	if known == never {
		return 0, false
	}
	return max(0, time.Duration(l.since(now)-known)), true
}
