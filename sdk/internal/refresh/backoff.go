package refresh

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause    = 100 * time.Millisecond
	longestPause  = 10 * time.Second // while a valid value is held
	waitersPause  = time.Second      // while callers wait without one
	maxRetryAfter = time.Minute
	firstQuiet    = time.Second // after a permanent refusal
	longestQuiet  = 30 * time.Second
)

// backoff says when the next attempt is due. It outlives a flight, so that callers who come and leave do not undo it.
type backoff struct {
	failures int       // in a row
	err      error     // the last one
	floor    time.Time // until when the issuer asked to be left alone
	next     time.Time
	longest  time.Duration
}

// add takes a failure. The pause is drawn from nothing to a bound that doubles (full jitter). The bound's own limit is lower the nearer
// the held value is to its end, so that no pause sleeps over that. Those who were sent away together, with the same Retry-After, come
// back within a tenth of it.
func (b *backoff) add(err error, retryAfter, remaining time.Duration) {
	now := time.Now()
	b.err = err
	b.longest = min(max(remaining/3, waitersPause), longestPause)
	bound := min(firstPause<<min(b.failures, 16), b.longest)
	b.failures++
	away := min(retryAfter, maxRetryAfter)
	b.floor = now.Add(away)
	b.next = b.floor.Add(jitter(max(bound, away/10)))
}

// hurry brings the next attempt nearer if the pause was drawn for times when nobody waits. It tells whether it did.
func (b *backoff) hurry(now time.Time) bool {
	if b.longest <= waitersPause {
		return false
	}
	b.longest = waitersPause
	soon := later(now, b.floor).Add(jitter(min(firstPause<<min(b.failures, 16), waitersPause)))
	if !soon.Before(b.next) {
		return false
	}
	b.next = soon
	return true
}

// jitter returns a time from nothing to bound, so that instances which fail together do not come back together.
func jitter(bound time.Duration) time.Duration {
	return rand.N(bound) //nolint:gosec // G404: nobody gains by guessing when we try again
}

// freshFor returns 70 to 80 % of a lifetime.
func freshFor(lifetime time.Duration) time.Duration {
	return lifetime/10*7 + jitter(lifetime/10+1)
}

// forget starts anew if the last failure is old: what was true then says little.
func (b *backoff) forget(now time.Time) {
	if b.failures > 0 && now.Sub(b.next) > longestPause {
		b.failures = 0
	}
}

// refusal remembers that the issuer said no for good, so that a misconfigured service does not ask it for every call.
type refusal struct {
	err   error
	at    time.Time
	quiet time.Duration
}

// news tells whether a refusal is another one than the last.
func (r *refusal) news(err error) bool { return r.err == nil || r.err.Error() != err.Error() }

func (r *refusal) add(err error) {
	r.err, r.at = err, time.Now()
	r.quiet = min(max(2*r.quiet, firstQuiet), longestQuiet)
}

// current returns the refusal while it is to be passed on to callers that have no value.
func (r *refusal) current() error {
	if r.err != nil && time.Now().Before(r.at.Add(r.quiet)) {
		return r.err
	}
	return nil
}

// quietWhileStale is until when a valid value is used without another try.
func (r *refusal) quietWhileStale() time.Time { return r.at.Add(longestQuiet) }

// bucket lets three pass at once and one every 10 s.
type bucket struct {
	full time.Time // when it will be full again
}

const (
	bucketSize  = 3
	bucketEvery = 10 * time.Second
)

func (b *bucket) take(now time.Time) bool {
	full := later(b.full, now).Add(bucketEvery)
	if full.Sub(now) > bucketSize*bucketEvery {
		return false
	}
	b.full = full
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
