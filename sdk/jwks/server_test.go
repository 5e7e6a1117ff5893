package jwks_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

var errDown = errors.New("connection refused")

// server is an authorization server within a bubble: it publishes keys, takes its time, and can be down.
type server struct {
	mu      sync.Mutex
	body    string
	maxAge  time.Duration
	latency time.Duration
	down    bool
	fetches []time.Time
	cut     int // fetches whose context ended before the answer
}

// publish replaces the key set by keys of these names, each made from a name of its own: "a" and "a=2" are different keys under kid a.
func (s *server) publish(names ...string) {
	s.answer(keySet(names...))
}

func (s *server) answer(body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = body
}

func (s *server) turn(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *server) fetch(ctx context.Context) (jwks.Answer, error) {
	s.mu.Lock()
	s.fetches = append(s.fetches, time.Now())
	latency := s.latency
	s.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cut++
		return jwks.Answer{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return jwks.Answer{}, errDown
	}
	return jwks.Answer{Body: []byte(s.body), MaxAge: s.maxAge}, nil
}

// times returns when the server was asked.
func (s *server) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.fetches)
}

func (s *server) count() int { return len(s.times()) }

// pauses returns how long the server was left alone between two fetches.
func (s *server) pauses() []time.Duration {
	var all []time.Duration
	times := s.times()
	for i, began := range times[1:] {
		all = append(all, began.Sub(times[i])-s.latency)
	}
	return all
}

func (s *server) cutOff() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

func keySet(names ...string) string {
	var all []string
	for _, name := range names {
		kid, _, _ := strings.Cut(name, "=")
		public := ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%-32s", name))).Public().(ed25519.PublicKey)
		all = append(all, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, kid, base64.RawURLEncoding.EncodeToString(public)))
	}
	return `{"keys":[` + strings.Join(all, ",") + `]}`
}

// world is a cache in front of a server, running.
type world struct {
	*testing.T
	server *server
	cache  *jwks.Cache
	ctx    context.Context
}

// inBubble runs a test in time of its own. The server publishes key a, for 10 minutes; the cache runs once begin was called.
func inBubble(t *testing.T, config jwks.Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &server{maxAge: 10 * time.Minute, latency: 50 * time.Millisecond}
		s.publish("a")
		config.Fetch = s.fetch
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		test(&world{T: t, server: s, cache: jwks.New(config), ctx: ctx})
	})
}

// begin lets the cache run until the first fetch has ended.
func (w *world) begin() {
	go w.cache.Run(w.ctx)
	time.Sleep(100 * time.Millisecond)
}

// key returns the key of this id, or the error.
func (w *world) key(kid string) (*jwks.Held, error) {
	return w.cache.Key(w.ctx, kid, jose.EdDSA)
}

// must returns the key of this id, which has to be there.
func (w *world) must(kid string) *jwks.Held {
	w.Helper()
	held, err := w.key(kid)
	if err != nil {
		w.Fatalf("key %q: %v", kid, err)
	}
	if held.ID() != kid || held.Withdrawn() {
		w.Fatalf("key %q is %q, withdrawn %v", kid, held.ID(), held.Withdrawn())
	}
	return held
}

// refused sees to it that asking for the key ends in this error at once, without waiting.
func (w *world) refused(kid string, want error) {
	w.Helper()
	began := time.Now()
	if _, err := w.key(kid); !errors.Is(err, want) {
		w.Fatalf("key %q: %v, want %v", kid, err, want)
	}
	if took := time.Since(began); took > 0 {
		w.Errorf("key %q: took %v", kid, took)
	}
}
