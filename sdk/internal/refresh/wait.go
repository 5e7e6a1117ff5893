package refresh

import (
	"context"
	"time"
)

// wait joins the flight, or starts one, for a caller that has no value. It is called with mu held and releases it.
func (s *Source[T]) wait(ctx context.Context) (*T, error) {
	err := s.refusal.current()
	if err == nil && ctx.Err() != nil {
		err = &LeftError{Reason: ctx.Err(), Last: s.backoff.err}
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	f := s.flight
	if f == nil {
		f = s.start(ctx, nil)
	}
	f.hurry(&s.backoff)
	if s.backoff.next.After(s.patience(ctx)) { // waiting would be in vain
		err = &LeftError{Reason: ErrMaxWait, Last: s.backoff.err}
		s.mu.Unlock()
		return nil, err
	}
	f.waiters++
	s.mu.Unlock()

	reason := s.stay(ctx, f, nil)
	select {
	case <-f.done:
		return f.value, f.err
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.waiters--
	return nil, &LeftError{Reason: reason, Last: s.backoff.err}
}

// force joins the flight, or starts one, that replaces the held value. mu is held.
func (s *Source[T]) force(ctx context.Context, refused *T) (*turn[T], error) {
	if err := s.refusal.current(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // who is gone already must not use up what others may need
		return nil, &LeftError{Reason: err, Last: s.backoff.err}
	}
	f := s.flight
	if f == nil {
		if !s.forced.take(time.Now()) {
			return nil, ErrTooOften
		}
		s.totals.forced++
		f = s.start(ctx, refused)
	}
	f.refused = refused
	f.hurry(&s.backoff)
	f.turn.forced++
	return f.turn, nil
}

// await waits for an attempt, for a caller of Replace.
func (s *Source[T]) await(ctx context.Context, t *turn[T]) (*T, error) {
	reason := s.stay(ctx, t.flight, t.failed)
	select {
	case <-t.flight.done:
		return t.flight.value, t.flight.err
	case <-t.failed:
		return nil, t.err
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.forced--
	return nil, &LeftError{Reason: reason, Last: s.backoff.err}
}

// stay returns nil once the flight is done, or failed is closed; else why the caller leaves.
func (s *Source[T]) stay(ctx context.Context, f *flight[T], failed <-chan struct{}) error {
	limit := time.NewTimer(s.config.MaxWait)
	defer limit.Stop()
	select {
	case <-f.done:
		return nil
	case <-failed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return ErrMaxWait
	}
}

// patience is until when a caller would wait.
func (s *Source[T]) patience(ctx context.Context) time.Time {
	limit := time.Now().Add(s.config.MaxWait)
	if deadline, ok := ctx.Deadline(); ok {
		return earlier(deadline, limit)
	}
	return limit
}

// hurry shortens the pause: somebody waits for the value who has no other.
func (f *flight[T]) hurry(b *backoff) {
	if b.hurry(time.Now()) {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}
