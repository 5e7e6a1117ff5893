package refresh

import (
	"context"
	"log/slog"
	"time"
)

// flight is a fetch with its retries, until a value came, a permanent refusal, or nobody wants it any more. Its fields but the channels
// are guarded by the source's mu; value and err may be read once done is closed.
type flight[T any] struct {
	cancel  context.CancelFunc
	done    chan struct{} // closed at its end
	wake    chan struct{} // the pause became shorter
	refused *T            // the value that must not come back, or nil
	waiters int           // callers that have no value and stay for all retries
	turn    *turn[T]      // callers of Replace, who leave after a failure
	value   *T
	err     error
}

// turn is the present attempt of a flight.
type turn[T any] struct {
	flight *flight[T]
	failed chan struct{} // closed if it did; err is set then
	err    error
	forced int // who waits for it
}

func newTurn[T any](f *flight[T]) *turn[T] { return &turn[T]{flight: f, failed: make(chan struct{})} }

// start begins a flight with the values of ctx. mu is held, and there is none.
func (s *Source[T]) start(ctx context.Context, refused *T) *flight[T] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // G118: fly calls it
	f := &flight[T]{cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1), refused: refused}
	f.turn = newTurn(f)
	s.flight = f
	s.backoff.forget(time.Now())
	s.settle()
	s.running.Go(func() { s.fly(ctx, f) })
	return f
}

func (s *Source[T]) fly(ctx context.Context, f *flight[T]) {
	defer f.cancel()
	for s.pause(ctx, f) {
		s.mu.Lock()
		refused := f.refused
		s.mu.Unlock()
		grant, err := s.config.Fetch(ctx, refused)
		if s.attempted(ctx, f, grant, err) {
			return
		}
	}
}

// pause waits until the next attempt is due. It ends the flight and returns false if the source is closed or nobody wants the value.
func (s *Source[T]) pause(ctx context.Context, f *flight[T]) bool {
	for {
		s.mu.Lock()
		if s.closed {
			s.end(f, nil, ErrClosed)
			s.mu.Unlock()
			return false
		}
		in := time.Until(s.backoff.next)
		if in <= 0 {
			wanted := s.wanted(f)
			if !wanted {
				s.end(f, nil, s.backoff.err)
			}
			s.mu.Unlock()
			return wanted
		}
		s.mu.Unlock()
		due := time.NewTimer(in)
		select {
		case <-due.C:
		case <-f.wake:
		case <-ctx.Done():
		}
		due.Stop()
	}
}

// wanted tells whether another attempt is of use: somebody waits, or a value is about to expire.
func (s *Source[T]) wanted(f *flight[T]) bool {
	return f.waiters > 0 || f.turn.forced > 0 || s.held != nil && !time.Now().Before(s.held.stale)
}

// attempted takes the outcome of an attempt and tells whether it was the last one. The log hears without the lock: who listens may want
// the value himself.
func (s *Source[T]) attempted(ctx context.Context, f *flight[T], grant Grant[T], err error) bool {
	s.mu.Lock()
	over, say := s.outcome(ctx, f, grant, err)
	s.mu.Unlock()
	if say != nil {
		say()
	}
	return over
}

// outcome returns whether the attempt was the last one, and what tells the log; nil: there is nothing to tell.
func (s *Source[T]) outcome(ctx context.Context, f *flight[T], grant Grant[T], err error) (over bool, say func()) {
	switch {
	case s.closed:
		s.end(f, nil, ErrClosed)
		return true, nil
	case err == nil:
		return true, s.land(ctx, f, grant)
	}
	s.totals.failed(err)
	about := []slog.Attr{slog.Any("error", err), slog.Bool("valid", s.held != nil)}
	if s.config.Permanent(err) {
		if s.refusal.news(err) {
			say = func() { s.config.Log.LogAttrs(ctx, slog.LevelError, "refresh refused", about...) }
		}
		s.refusal.add(err)
		s.end(f, nil, err)
		return true, say
	}
	if s.backoff.failures == 0 {
		say = func() { s.config.Log.LogAttrs(ctx, slog.LevelWarn, "refresh fails", about...) }
	}
	s.backoff.add(err, s.config.RetryAfter(err), s.remaining())
	f.turn.err = err
	close(f.turn.failed)
	f.turn = newTurn(f)
	if s.wanted(f) {
		return false, say
	}
	s.end(f, nil, err)
	return true, say
}

// remaining is how long the held value is valid.
func (s *Source[T]) remaining() time.Duration {
	if s.held == nil {
		return 0
	}
	return time.Until(s.held.expires)
}

// land takes the value. One that comes so late that its life is over by our count goes to those who wait, as the issuer may count
// from later on, and is not kept.
func (s *Source[T]) land(ctx context.Context, f *flight[T], grant Grant[T]) (say func()) {
	if failures := s.backoff.failures; failures > 0 || s.refusal.err != nil {
		say = func() {
			s.config.Log.LogAttrs(ctx, slog.LevelInfo, "refresh succeeds again", slog.Int("failures", failures))
		}
	}
	s.backoff, s.refusal = backoff{}, refusal{}
	s.totals.landed()
	next := &life[T]{value: grant.Value, stale: grant.Began.Add(freshFor(grant.Lifetime)), expires: grant.Began.Add(grant.Lifetime)}
	if time.Now().Before(next.expires) {
		s.held = next
		s.totals.expires = next.expires
	}
	s.end(f, grant.Value, nil)
	return say
}

func (s *Source[T]) end(f *flight[T], value *T, err error) {
	f.value, f.err = value, err
	s.flight = nil
	s.settle()
	close(f.done) // last: who waited must find the new value wherever he looks
}
