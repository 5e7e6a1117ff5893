// Package memstore remembers in the process what presented tokens turned out to be.
package memstore

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/server/auth"
)

// DefaultEntries is how many tokens a Store keeps unless told otherwise. Each takes about 300 bytes and its scope.
const DefaultEntries = 100_000

// coarse is how far the store's own clock may be behind.
const coarse = 100 * time.Millisecond

// Config is what New needs. The zero value is sensible.
type Config struct {
	Entries int // bound on the tokens kept; 0: DefaultEntries
	// Now is the clock. Nil is the system's, read every coarse: reading it each time would be half the cost of a Lookup. So a
	// token may be found for that long after its expiry.
	Now        func() time.Time
	Registerer prometheus.Registerer // nil: no metrics
}

// Store is an auth.TokenStore in memory, for opaque tokens and for JWTs whose signature was checked. It keeps a token until
// it expires, or until there are too many and others are asked for more often. Its methods may be called by any number of
// goroutines.
type Store struct {
	cache *otter.Cache[auth.TokenKey, *auth.Token]
	now   func() time.Time
	stop  func()
}

var _ auth.TokenStore = (*Store)(nil)

// New returns an empty Store. Close ends it.
func New(cfg Config) (*Store, error) {
	if cfg.Entries == 0 {
		cfg.Entries = DefaultEntries
	}
	if cfg.Entries < 0 {
		return nil, fmt.Errorf("token store in memory: %d entries", cfg.Entries)
	}
	s := &Store{now: cfg.Now, stop: func() {}}
	var source otter.Clock = clock{cfg.Now}
	if cfg.Now == nil {
		own := otter.NewCoarseClock(coarse)
		s.now, s.stop, source = time.Now, own.Stop, own
	}
	cache, err := otter.New(&otter.Options[auth.TokenKey, *auth.Token]{
		MaximumSize:      cfg.Entries,
		ExpiryCalculator: otter.ExpiryWritingFunc(s.life),
		Clock:            source,
	})
	if err != nil {
		return nil, fmt.Errorf("token store in memory: %w", err)
	}
	s.cache = cache
	if cfg.Registerer != nil {
		err := cfg.Registerer.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "countersign_token_memory_entries",
			Help: "Tokens kept in memory, about.",
		}, func() float64 { return float64(s.cache.EstimatedSize()) }))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("register metrics of the token store in memory: %w", err)
		}
	}
	return s, nil
}

// Lookup returns the token that was recorded under the key, or nil. It does no I/O and does not look at apis, since what is in
// memory costs nothing to find: whoever asks checks what the caller may know of the token.
func (s *Store) Lookup(_ context.Context, key auth.TokenKey, _ []auth.APIID) *auth.Token {
	t, _ := s.cache.GetIfPresent(key)
	return t
}

// Remember records the token until it expires. The token must not be changed afterwards.
func (s *Store) Remember(key auth.TokenKey, t *auth.Token) {
	if t.Live(s.now()) {
		s.cache.Set(key, t)
	}
}

// Close ends the goroutines that keep the time and drop expired tokens. What is in memory can still be looked up.
func (s *Store) Close() {
	s.cache.StopAllGoroutines()
	s.stop()
}

// life is how long an entry lasts from the moment it was written.
func (s *Store) life(entry otter.Entry[auth.TokenKey, *auth.Token]) time.Duration {
	return time.Duration(entry.Value.Expires.UnixNano() - entry.SnapshotAtNano)
}

// clock is the time as the cache asks for it.
type clock struct{ now func() time.Time }

// NowNano implements otter.Clock.
func (c clock) NowNano() int64 { return c.now().UnixNano() }

// Tick implements otter.Clock.
func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }
