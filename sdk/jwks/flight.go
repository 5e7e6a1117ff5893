package jwks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

var errStopped = errors.New("the cache has ended")

// flight is one fetch, for all who wait for it.
type flight struct {
	done  chan struct{}
	ended time.Time // this and err are set when done is closed
	err   error
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

func (f *flight) end(err error) {
	f.ended, f.err = time.Now(), err
	close(f.done)
}

func (f *flight) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// Key returns the key of this id for this algorithm, and asks nobody if it is held. Else it waits for a fetch: the one that is under
// way, or a new one, unless the last ended within the cool-down. All callers wait for the same one; it goes on when one of them leaves
// at the end of its ctx. Nothing is fetched before Run is called: callers wait for that too.
//
// kid "" stands for the only key that is for alg. The error is ErrUnknownKey or ErrUnavailable.
func (c *Cache) Key(ctx context.Context, kid string, alg jose.Algorithm) (*Held, error) {
	if held, err := c.keys.Load().find(kid, alg); held != nil || err != nil {
		return held, err
	}
	f := c.ask()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	set := c.keys.Load()
	held, err := set.find(kid, alg)
	switch {
	case held != nil || err != nil:
		return held, err
	case f.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, f.err)
	case set == nil: // it has become too old since
		return nil, ErrUnavailable
	}
	return nil, ErrUnknownKey
}

// ask returns the flight that answers for a key that is not held.
func (c *Cache) ask() *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Misses++
	coolDown := c.config.CoolDown
	if time.Now().Before(c.eager) {
		coolDown = min(coolDown, eagerCoolDown)
	}
	if f := c.flight; c.closed || f != nil && (!f.over() || time.Since(f.ended) < coolDown) {
		return f
	}
	c.flight = newFlight()
	c.asked <- struct{}{} // there is room, since take empties it whenever it takes a flight
	return c.flight
}

// eagerCoolDown is the cool-down while a new key is expected.
const eagerCoolDown = 500 * time.Millisecond

// Expect tells the cache that a key was withdrawn at once, so that tokens by another one come soon: for the time of one cool-down, keys
// that are not held are asked for every half second. Servers need a moment until all of them publish the new key, and the first fetch
// may find one that does not yet. It is for who has this from the server itself, and not from a token.
func (c *Cache) Expect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eager = time.Now().Add(c.config.CoolDown)
}

// take returns the flight that Run has to make now.
func (c *Cache) take() *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == nil || c.flight.over() {
		c.flight = newFlight()
	}
	select {
	case <-c.asked:
	default:
	}
	return c.flight
}

// stop lets nobody wait for a flight that will not be, and drops the keys, whose age nobody looks after any more.
func (c *Cache) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if set := c.keys.Swap(nil); set != nil {
		c.withdraw(set.all)
	}
	if c.flight == nil || c.flight.over() {
		c.flight = newFlight()
	}
	c.flight.end(errStopped)
	if c.expiry != nil {
		c.expiry.Stop()
	}
}
