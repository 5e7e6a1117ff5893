package ratelimit

import (
	"errors"
	"fmt"
	"time"
)

// What a Limit may be. The bounds keep every number of microseconds an integer that Lua can count with.
const (
	MaxBurst  = 1_000_000
	longestIn = 24 * time.Hour
	fastest   = 10 * time.Microsecond // between two requests
	refill    = 366 * 24 * time.Hour  // until a whole burst has come back
)

// Limit is how often something may happen: at any time Burst requests at once, and Requests in the time Per on average. In
// t seconds at most Burst + t × Requests/Per pass. It must be valid: one that is not lets nothing pass.
type Limit struct {
	Requests int           // at least 1
	Per      time.Duration // 1 µs to 24 h; no more than 100,000 requests per second
	Burst    int           // 1 to MaxBurst, and no more than comes back within 366 days
}

// Validate says what is wrong with the limit.
func (l Limit) Validate() error {
	switch {
	case l.Requests < 1:
		return fmt.Errorf("%d requests: must be at least 1", l.Requests)
	case l.Per < time.Microsecond || l.Per > longestIn:
		return fmt.Errorf("per %v: must be a time of %v to %v", l.Per, time.Microsecond, longestIn)
	case l.Burst < 1 || l.Burst > MaxBurst:
		return fmt.Errorf("burst of %d: must be from 1 to %d", l.Burst, MaxBurst)
	case l.Per/time.Duration(l.Requests) < fastest:
		return fmt.Errorf("%d requests per %v: must be at most 100000 per second", l.Requests, l.Per)
	case l.interval() > refill/time.Duration(l.Burst):
		return errors.New("burst: would take more than 366 days to come back at this rate")
	}
	return nil
}

// interval is the time between two requests that come evenly, in whole microseconds. It is rounded up, so that what
// passes is never more than the limit; it is less by up to 1% at 10,000 requests per second, by nothing at most rates in use.
func (l Limit) interval() time.Duration {
	per, n := l.Per.Nanoseconds(), int64(l.Requests)*1000
	return time.Duration((per+n-1)/n) * time.Microsecond
}

// full is the time after which whoever asked for nothing has its whole burst again.
func (l Limit) full() time.Duration { return time.Duration(l.Burst) * l.interval() }

// Verdict is what a Limiter says of a request.
type Verdict struct {
	Allowed    bool
	RetryAfter time.Duration // until a request would be allowed if there were no others; 0 if this one is
	Remaining  int           // requests that would be allowed at once after this one
	Reset      time.Duration // until the whole burst would be there again
}
