package sharing_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/sharing"
)

var errStore = errors.New("store is down")

// store keeps values in memory until their time is over.
type store struct {
	mu     sync.Mutex
	values map[string]value
	fails  map[string]bool // by method
	calls  map[string]int
	hangs  bool
	held   bool // every lease, by somebody else and for good
}

type value struct {
	text []byte
	ends time.Time
}

func newStore() *store {
	return &store{values: map[string]value{}, fails: map[string]bool{}, calls: map[string]int{}}
}

// enter takes the lock if it returns nil.
func (s *store) enter(ctx context.Context, method string) error {
	s.mu.Lock()
	s.calls[method]++
	fails, hangs := s.fails[method], s.hangs
	switch {
	case hangs:
		s.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	case fails:
		s.mu.Unlock()
		return errStore
	case ctx.Err() != nil:
		s.mu.Unlock()
		return ctx.Err()
	}
	return nil
}

func (s *store) Read(ctx context.Context, key string) ([]byte, error) {
	if err := s.enter(ctx, "Read"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.live(key).text, nil
}

func (s *store) Write(ctx context.Context, key string, text []byte, ttl time.Duration) error {
	if err := s.enter(ctx, "Write"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.values[key] = value{text, time.Now().Add(ttl)}
	return nil
}

func (s *store) Acquire(ctx context.Context, lease, holder string, ttl time.Duration) (bool, error) {
	if err := s.enter(ctx, "Acquire"); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	if s.held || s.live(lease).text != nil {
		return false, nil
	}
	s.values[lease] = value{[]byte(holder), time.Now().Add(ttl)}
	return true, nil
}

func (s *store) Release(ctx context.Context, lease, holder string) error {
	if err := s.enter(ctx, "Release"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if string(s.values[lease].text) == holder {
		delete(s.values, lease)
	}
	return nil
}

func (s *store) live(key string) value {
	if v := s.values[key]; time.Now().Before(v.ends) {
		return v
	}
	return value{}
}

// change runs f on the one record that is no lease.
func (s *store) change(t *testing.T, f func(key string, v *value)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range s.values {
		if len(v.text) < 30 {
			continue
		}
		f(key, &v)
		s.values[key] = v
		return
	}
	t.Fatal("the store has no record")
}

func (s *store) fail(methods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.fails)
	for _, m := range methods {
		s.fails[m] = true
	}
}

var _ sharing.Store = (*store)(nil)
