// Package refresh keeps a value that expires: it replaces it in the background before that, one fetch at a time, and goes on with
// the old one while that fails.
//
// A value is fresh, then stale from 70 to 80 % of its life on, then expired. Stale, it is served as before, and the first use starts a
// fetch: a source that nobody uses does not fetch. Only without a valid value do callers wait. A fetch belongs to the source and not
// to the caller who happened to be first: it goes on when that one leaves.
package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/sdk/internal/count"
)

var (
	// ErrClosed says that the source was closed.
	ErrClosed = errors.New("closed")
	// ErrMaxWait says that the caller waited for as long as Config allows, or that the next attempt is later than that or than its deadline.
	ErrMaxWait = errors.New("not within the time to wait")
	// ErrTooOften says that a value was refused so soon after others that it is not replaced.
	ErrTooOften = errors.New("refused too often to be replaced again now")
)

// LeftError is why a caller left although the fetch goes on.
type LeftError struct {
	// Reason is the error of the caller's context, or ErrMaxWait.
	Reason error
	// Last is the last failure of the fetch; nil: none yet.
	Last error
}

// Error implements error.
func (e *LeftError) Error() string {
	if e.Last == nil {
		return fmt.Sprintf("no answer yet: %v", e.Reason)
	}
	return fmt.Sprintf("%v: %v", e.Reason, e.Last)
}

// Unwrap returns the reason and the last failure.
func (e *LeftError) Unwrap() []error {
	if e.Last == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Last}
}

// Grant is a fetched value and its life.
type Grant[T any] struct {
	Value *T
	// Began is when the request for it started: nobody can have issued it before. Its life counts from here.
	Began time.Time
	// Lifetime is how long it lives from then on.
	Lifetime time.Duration
}

// Config configures a [Source].
type Config[T any] struct {
	// Fetch gets a value. refused is the one that was refused by whom it was shown to (see Replace), nil if none was: the same must
	// not come back. Fetch returns soon after the end of ctx, which has the values of the context of the caller who waited first; of
	// nobody's, if none does. Calls never overlap.
	Fetch func(ctx context.Context, refused *T) (Grant[T], error)
	// Permanent tells of an error that another try soon will not cure. nil: none is.
	Permanent func(error) bool
	// RetryAfter tells for how long the error asks to be left alone; more than a minute counts as a minute. nil: none does.
	RetryAfter func(error) time.Duration
	// MaxWait is how long a caller without a valid value waits; 0: 10 s.
	MaxWait time.Duration
	// Log is told when fetches begin to fail and when they succeed again. nil: nobody is.
	Log *slog.Logger
}

// Source has the value. All methods are safe for concurrent use.
type Source[T any] struct {
	config Config[T]

	// serve is the value that Value returns without another look. nil: there is something to do or to wait for.
	serve atomic.Pointer[T]
	hits  count.Counter

	mu      sync.Mutex
	closed  bool
	held    *life[T]    // nil: no valid value
	timer   *time.Timer // calls settle when held is next to change its phase; nil: never needed yet
	flight  *flight[T]  // nil: no fetch under way
	running sync.WaitGroup
	backoff backoff
	refusal refusal
	forced  bucket
	totals  totals
}

type life[T any] struct {
	value   *T
	stale   time.Time
	expires time.Time
}

// New returns a source that has no value. It fetches nothing before it is asked for one.
func New[T any](config Config[T]) *Source[T] {
	if config.Permanent == nil {
		config.Permanent = func(error) bool { return false }
	}
	if config.RetryAfter == nil {
		config.RetryAfter = func(error) time.Duration { return 0 }
	}
	if config.MaxWait == 0 {
		config.MaxWait = 10 * time.Second
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Source[T]{config: config}
}

// Value returns a valid value. While there is one it costs one atomic load and a counter, does not look at ctx and never fails, but for
// ErrClosed. Otherwise it waits for the fetch, as long as ctx and MaxWait allow, and the error is the one that Permanent told of, or
// a *LeftError.
func (s *Source[T]) Value(ctx context.Context) (*T, error) {
	if value := s.serve.Load(); value != nil {
		s.hits.Inc()
		return value, nil
	}
	return s.valueSlowly(ctx)
}

func (s *Source[T]) valueSlowly(ctx context.Context) (*T, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	if s.held != nil {
		value := s.held.value
		if s.flight == nil && s.serve.Load() == nil {
			s.start(context.Background(), nil) // it is not this caller's, who does not wait for it
		}
		s.mu.Unlock()
		s.hits.Inc()
		return value, nil
	}
	return s.wait(ctx)
}

// Replace returns a value other than refused, which is what Value returned and somebody would not have. If the source has another one
// by now, it is that; else it is fetched, once for all who ask, while Value goes on with the old one. Values are replaced this way
// three times at once and then every 10 s; in between the error is ErrTooOften. Where Value would try again, Replace returns the
// failure of the fetch: refused counts until it expires.
func (s *Source[T]) Replace(ctx context.Context, refused *T) (*T, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	if s.held == nil {
		return s.wait(ctx)
	}
	if value := s.held.value; value != refused {
		s.mu.Unlock()
		return value, nil
	}
	turn, err := s.force(ctx, refused)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.await(ctx, turn)
}

// Close ends the fetch and waits until it has ended. Callers that wait get ErrClosed, as all do from now on.
func (s *Source[T]) Close() {
	s.mu.Lock()
	s.closed = true
	s.settle()
	if s.flight != nil {
		s.flight.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// settle publishes what Value returns without another look, and sets the timer for when that has to change. It is called with mu held
// whenever something changed; once too often does no harm.
func (s *Source[T]) settle() {
	now := time.Now()
	if s.held != nil && (s.closed || !now.Before(s.held.expires)) {
		s.held = nil
	}
	if s.held == nil {
		s.serve.Store(nil)
		if s.timer != nil {
			s.timer.Stop()
		}
		return
	}
	value, change := s.held.value, s.held.expires
	switch quiet := s.refusal.quietWhileStale(); {
	case now.Before(s.held.stale):
		change = s.held.stale
	case s.flight != nil:
	case now.Before(quiet):
		change = earlier(change, quiet)
	default:
		value = nil // the next caller starts a fetch
	}
	s.serve.Store(value)
	s.wakeAt(change.Sub(now))
}

func (s *Source[T]) wakeAt(in time.Duration) {
	if s.timer != nil {
		s.timer.Reset(in)
		return
	}
	s.timer = time.AfterFunc(in, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settle()
	})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
