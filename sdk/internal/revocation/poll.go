package revocation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	pollSlowest = 2 * time.Second  // between polls that fail
	slowest     = 30 * time.Second // between attempts that fail for good, and between streams
	sweepEvery  = time.Minute

	patienceLeast = 2 * time.Second
	patienceMost  = 10 * time.Second
)

// keepPolling polls until ctx ends.
func (f *Follower) keepPolling(ctx context.Context) {
	interval := f.config.Bound / 3
	pause := backoff{least: interval, most: pollSlowest}
	usual := min(max(3*f.config.Bound, patienceLeast), patienceMost)
	patience := usual
	swept := time.Now()
	for {
		began := time.Now()
		err := f.poll(ctx, patience)
		if ctx.Err() != nil {
			return
		}
		f.pollEnded(ctx, err)
		wake := f.wake
		var wait time.Duration
		if err == nil || errors.Is(err, ErrUnknownKind) {
			pause.worked()
			patience = usual
			wait = max(jitter(interval, 0.25)-time.Since(began), interval/4)
		} else {
			if errors.Is(err, context.DeadlineExceeded) { // a large snapshot may take longer
				patience = min(2*patience, patienceMost)
			}
			wait, wake = pause.failed(f.config.Permanent(err), min(f.config.RetryAfter(err), slowest)), nil
		}
		if time.Since(swept) >= sweepEvery {
			swept = time.Now()
			f.sweep(f.past())
		}
		select {
		case <-time.After(wait):
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// poll asks the feed once and renews the lease.
func (f *Follower) poll(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	from, asked := f.question(), time.Now()
	body, began, err := f.config.Poll(ctx, from.String())
	if err != nil {
		return fmt.Errorf("poll the revocation feed: %w", err)
	}
	if began.Before(asked) || began.After(time.Now()) {
		began = asked
	}
	a, err := parseAnswer(body)
	switch {
	case err != nil:
		return err
	case a.age < 0:
		return fmt.Errorf("%w: age_ms is missing", errMalformed)
	}
	known := f.lease.since(began) - int64(a.age)
	if err := f.merge(a, from, known); err != nil {
		return fmt.Errorf("poll the revocation feed: %w", err)
	}
	// What is vouched for is in the set by now, and the version tells so.
	if err := f.unknown(); err != nil {
		return err
	}
	f.lease.renew(known)
	return nil
}

// sweep forgets what is needed no more when tokens have expired up to past.
func (f *Follower) sweep(past int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if current := f.state.current.Load(); current != nil && current.forget(past) {
		f.swept = max(f.swept, past)
	}
}

// backoff spaces attempts that fail.
type backoff struct {
	least, most time.Duration
	next        time.Duration
}

func (b *backoff) worked() { b.next = 0 }

// failed returns how long to wait: twice as long each time, up to most, or slowest if it fails for good. Half of it is random. It is
// no less than what the server asks for.
func (b *backoff) failed(permanent bool, asked time.Duration) time.Duration {
	limit := b.most
	if permanent {
		limit = slowest
	}
	b.next = min(max(2*b.next, b.least), limit)
	if wait := jitter(b.next, 0.5); wait > asked {
		return wait
	}
	return asked + jitter(b.least, 1)
}

// jitter returns d less a random share of it, at most part.
func jitter(d time.Duration, part float64) time.Duration {
	return d - time.Duration(float64(d)*part*rand.Float64()) //nolint:gosec // G404: spreads load, guards nothing
}
