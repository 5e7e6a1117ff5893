package refresh_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/refresh"
)

var (
	errDown    = errors.New("issuer is down")
	errRefused = errors.New("invalid_client")
	errBusy    = errors.New("busy")
)

type token struct {
	n       int
	expires time.Time
}

type source = *refresh.Source[token]

// issuer answers fetches after a while. Its switches may be turned at any time.
type issuer struct {
	mu       sync.Mutex
	takes    time.Duration
	lifetime time.Duration
	fails    error
	retry    time.Duration // Retry-After of errBusy
	asked    []time.Time
	refused  []*token
	running  int
	overlap  bool
}

func (i *issuer) fetch(ctx context.Context, refused *token) (refresh.Grant[token], error) {
	i.mu.Lock()
	began := time.Now()
	i.asked = append(i.asked, began)
	i.refused = append(i.refused, refused)
	n, takes := len(i.asked), i.takes
	i.running++
	i.overlap = i.overlap || i.running > 1
	i.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running--
	if ctx.Err() != nil {
		return refresh.Grant[token]{}, ctx.Err()
	}
	return refresh.Grant[token]{Value: &token{n, began.Add(i.lifetime)}, Began: began, Lifetime: i.lifetime}, i.fails
}

func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

func (i *issuer) fail(err error) { i.set(func(i *issuer) { i.fails = err }) }

// times returns when the requests came.
func (i *issuer) times() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.asked)
}

func (i *issuer) overlaps() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.overlap
}

func (i *issuer) requests() int { return i.requestsSince(time.Time{}) }

func (i *issuer) requestsSince(t time.Time) (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, at := range i.asked {
		if !at.Before(t) {
			n++
		}
	}
	return n
}

// source returns a source on i that is closed at the test's end. By then no two requests may have overlapped.
func (i *issuer) source(t testing.TB) source {
	t.Helper()
	s := refresh.New(refresh.Config[token]{
		Fetch:     i.fetch,
		Permanent: func(err error) bool { return errors.Is(err, errRefused) },
		RetryAfter: func(err error) time.Duration {
			if errors.Is(err, errBusy) {
				i.mu.Lock()
				defer i.mu.Unlock()
				return i.retry
			}
			return 0
		},
	})
	t.Cleanup(func() {
		s.Close()
		if i.overlaps() {
			t.Error("two requests at a time")
		}
	})
	return s
}

func value(t testing.TB, s source) *token {
	t.Helper()
	v, err := s.Value(t.Context())
	if err != nil {
		t.Errorf("Value: %v", err)
		return &token{}
	}
	return v
}

// within tells whether a duration is in [low, high].
func within(t testing.TB, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %v, want %v to %v", what, got, low, high)
	}
}
