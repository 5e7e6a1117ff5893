package ratelimit

import (
	"math"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// late is by how much the cache may be early to forget an account that is used; it says so of up to a second.
const late = 2 * time.Second

// rounding is by how much a number of tokens may be wrong, in a float64 of up to MaxBurst with room to spare.
const rounding = 1e-9

// local are the accounts of this process.
type local struct {
	accounts *otter.Cache[name, *account]
	now      func() time.Time
}

// account is what one key may still do.
type account struct {
	// mu makes the time go forwards: rate.Limiter counts time twice when it is told of one moment after a later one.
	mu      sync.Mutex
	limiter *rate.Limiter
	keep    time.Duration // unused, until it is as good as a new one
}

func newLocal(keys int, now func() time.Time) (*local, error) {
	accounts, err := otter.New(&otter.Options[name, *account]{
		MaximumSize: keys,
		ExpiryCalculator: otter.ExpiryAccessingFunc(func(e otter.Entry[name, *account]) time.Duration {
			return e.Value.keep
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
	a, ok := l.accounts.GetIfPresent(n)
	if !ok {
		a = l.open(n, limit)
	}

	a.mu.Lock()
	now := l.now()
	allowed := a.limiter.AllowN(now, 1)
	tokens := a.limiter.TokensAt(now)
	a.mu.Unlock()

	v := Verdict{Allowed: allowed, Reset: missing(float64(limit.Burst)-tokens, limit)}
	if allowed {
		v.Remaining = int(tokens + rounding)
	} else {
		v.RetryAfter = missing(1-tokens, limit)
	}
	return v
}

func (l *local) open(n name, limit Limit) *account {
	a, _ := l.accounts.ComputeIfAbsent(n, func() (*account, bool) {
		return &account{
			limiter: rate.NewLimiter(rate.Every(limit.interval()), limit.Burst),
			keep:    limit.full() + late,
		}, false
	})
	return a
}

// missing is how long it takes until so many tokens have come.
func missing(tokens float64, limit Limit) time.Duration {
	micros := math.Ceil(tokens * float64(limit.interval()/time.Microsecond))
	return time.Duration(max(0, micros)) * time.Microsecond
}

// clock is the time as the cache asks for it, which does not go back when the machine's clock is set.
type clock struct {
	now   func() time.Time
	began time.Time
}

// NowNano implements otter.Clock.
func (c clock) NowNano() int64 { return c.now().Sub(c.began).Nanoseconds() }

// Tick implements otter.Clock.
func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }
