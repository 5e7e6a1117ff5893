package feed_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/feed"
)

// source is a feed.Source that a test fills.
type source struct {
	mu       sync.Mutex
	changes  []auth.Change
	position auth.Position
	age      time.Duration
	broken   error
	news     chan struct{}
	catchUp  func() // nil: nothing
	catchUps int
}

const generation = 1<<63 + 12345

func newSource(changes ...auth.Change) *source {
	s := &source{position: auth.Position{Generation: generation}, news: make(chan struct{})}
	s.add(changes...)
	return s
}

func (s *source) add(changes ...auth.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.position.Sequence++
		c.Sequence = s.position.Sequence
		if c.Revokes() {
			s.changes = append(s.changes, c)
		}
	}
	close(s.news)
	s.news = make(chan struct{})
}

func (s *source) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

func (s *source) Age() time.Duration { return s.age }

func (s *source) Revocations(after uint64) ([]auth.Change, auth.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newer := slices.DeleteFunc(slices.Clone(s.changes), func(c auth.Change) bool { return c.Sequence <= after })
	return newer, s.position
}

func (s *source) Watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.news
}

func (s *source) CatchUp(context.Context) error {
	s.catchUps++
	if s.catchUp != nil {
		s.catchUp()
	}
	return nil
}

// serve serves f on loopback, with the timeouts of a real server. The header Client, of one letter, names the caller; how Serve
// failed is in the header Code.
func serve(t *testing.T, f *feed.Feed, allowed func() bool) *httptest.Server {
	if allowed == nil {
		allowed = func() bool { return true }
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var client auth.ClientID
		copy(client[:], r.Header.Get("Client"))
		if err := f.Serve(w, r, client, allowed); err != nil {
			failure := fault.From(err)
			w.Header().Set("Code", fmt.Sprint(failure.Code, " ", failure.RetryAfter))
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// switchable is a check whose answer a test changes.
type switchable struct{ off atomic.Bool }

func (s *switchable) allowed() bool { return !s.off.Load() }
