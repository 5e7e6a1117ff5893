package sdk

import (
	"sync"
	"time"
)

const (
	breakerFailures = 3           // in a row, after which callers are turned away
	breakerPause    = time.Second // after which one of them is let through, to see
)

// breaker turns callers away from what fails, so that nobody waits for it in vain but one a second at most. It is safe for concurrent use.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	next     time.Time // when another is let through, once failures are too many
	last     error     // of the last failure
}

// pass returns nil if the caller may try, and else why the last one failed.
func (b *breaker) pass() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakerFailures {
		return nil
	}
	now := time.Now()
	if now.Before(b.next) {
		return b.last
	}
	b.next = now.Add(breakerPause)
	return nil
}

// failed tells whether callers are turned away from now on.
func (b *breaker) failed(err error) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	b.last, b.next = err, time.Now().Add(breakerPause)
	return b.failures == breakerFailures
}

// succeeded tells whether callers were turned away until now.
func (b *breaker) succeeded() (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	closed = b.failures >= breakerFailures
	b.failures = 0
	return closed
}

// open tells whether callers are turned away.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= breakerFailures
}
