package jwks

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

const (
	fetchTimeout  = 30 * time.Second // of one fetch, which has time-outs of its own below that
	defaultMaxAge = 5 * time.Minute
	shortest      = 10 * time.Second // between two refreshes, whatever the server says
	longest       = 70 * time.Minute // max-age that counts: 85% of it is the hour within which a withdrawn key is noticed
	firstRetry    = time.Second
	lastRetry     = 40 * time.Second // before jitter
)

// Run fetches the set: at once, then ahead of the end of its max-age, and when a caller of Key asks. It returns when ctx has ended and
// nothing of it goes on; then no key is held any more. It is called once.
func (c *Cache) Run(ctx context.Context) {
	defer c.stop()
	for failures := 0; ctx.Err() == nil; {
		pause, err := c.refresh(ctx)
		if err == nil {
			failures = 0
		} else {
			pause = min(firstRetry<<min(failures, 10), lastRetry)
			pause += rand.N(pause / 2) //nolint:gosec // spreads tries, guards nothing
			failures++
		}
		c.pause(ctx, pause)
	}
}

func (c *Cache) pause(ctx context.Context, pause time.Duration) {
	c.mu.Lock()
	c.state.Next = time.Now().Add(pause)
	c.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-c.asked:
	}
}

// refresh makes one flight. It returns when the next is due.
func (c *Cache) refresh(ctx context.Context) (time.Duration, error) {
	f, began := c.take(), time.Now()
	bounded, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	answer, err := c.config.Fetch(bounded)
	var parsed []*jose.Key
	var skipped []error
	if err == nil {
		parsed, skipped, err = jose.ParseKeySet(answer.Body)
	}
	if err != nil {
		err = fmt.Errorf("fetch key set: %w", err)
		c.fail(ctx, f, err)
		return 0, err
	}
	if c.accept(ctx, f, update{parsed, answer.Body, began}) {
		for _, reason := range skipped {
			c.config.Log.WarnContext(ctx, "key of the key set passed over", slog.Any("error", reason))
		}
		if c.config.Changed != nil {
			c.config.Changed(answer.Body)
		}
	}
	return ahead(answer.MaxAge), nil
}

// ahead returns when to refresh a set of this max-age.
func ahead(maxAge time.Duration) time.Duration {
	if maxAge == 0 {
		maxAge = defaultMaxAge
	}
	counts := max(min(maxAge, longest), 0) / 100
	return max(70*counts+rand.N(15*counts+1), shortest) //nolint:gosec // spreads fetches, guards nothing
}

func (c *Cache) fail(ctx context.Context, f *flight, err error) {
	c.mu.Lock()
	c.state.Fetches++
	c.state.Failures++
	c.failed = err
	f.end(err)
	c.mu.Unlock()
	if ctx.Err() == nil {
		c.config.Log.WarnContext(ctx, "key set not refreshed", slog.Any("error", err))
	}
}
