// Package memstore remembers in the process what presented tokens turned out to be.
package memstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/sdk/tokencache"
	"github.com/countersign/countersign/server/auth"
)

// DefaultEntries is how many tokens a Store keeps unless told otherwise. Each takes about 440 bytes and its scope.
const DefaultEntries = 100_000

// sweepEvery is how long an expired token lies in memory, unless its place is wanted sooner.
const sweepEvery = time.Minute

// Config is what New needs. The zero value is sensible.
type Config struct {
	Entries    int                   // bound on the tokens kept, rounded up to a multiple of 8; 0: DefaultEntries
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: no metrics
}

// Store is an auth.TokenStore in memory, for opaque tokens and for JWTs whose signature was checked. It keeps a token until
// it expires, or until it has to make room for another. Its methods may be called by any number of goroutines.
type Store struct {
	cache *tokencache.Cache[*auth.Token]
	now   func() time.Time
	ended chan struct{}
	swept sync.WaitGroup
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cache: tokencache.New[*auth.Token](cfg.Entries), now: cfg.Now, ended: make(chan struct{})}
	if cfg.Registerer != nil {
		err := cfg.Registerer.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "countersign_token_memory_entries",
			Help: "Tokens kept in memory.",
		}, func() float64 { return float64(s.cache.Len()) }))
		if err != nil {
			return nil, fmt.Errorf("register metrics of the token store in memory: %w", err)
		}
	}
	s.swept.Go(s.sweep)
	return s, nil
}

// Lookup returns the token that was recorded under the key, or nil. It does no I/O and does not look at apis, since what is in
// memory costs nothing to find: whoever asks checks what the caller may know of the token.
func (s *Store) Lookup(_ context.Context, key auth.TokenKey, _ []auth.APIID) *auth.Token {
	e := s.cache.Entry((*tokencache.Key)(&key))
	if e == nil || !e.Value.Live(s.now()) {
		return nil
	}
	return e.Value
}

// Remember records the token until it expires. The token must not be changed afterwards.
func (s *Store) Remember(key auth.TokenKey, t *auth.Token) {
	now := s.now()
	if !t.Live(now) {
		return
	}
	e := tokencache.NewEntry[*auth.Token]((*tokencache.Key)(&key), t.Expires)
	e.Value = t
	s.cache.Put(e, now)
}

// Close ends the goroutine that drops expired tokens, and waits for it. What is in memory can still be looked up. It is called once.
func (s *Store) Close() {
	close(s.ended)
	s.swept.Wait()
}

// sweep frees the memory of expired tokens when no new ones come that would take their places.
func (s *Store) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.cache.Sweep(s.now())
		case <-s.ended:
			return
		}
	}
}
