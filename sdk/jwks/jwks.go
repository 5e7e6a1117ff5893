// Package jwks keeps the keys of an authorization server: fetched ahead of time, kept through an outage, and dropped when the server
// withdraws them. Whatever tokens arrive, the server is not asked more often than once per cool-down on their account.
package jwks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

var (
	// ErrUnknownKey means that the set is current, and has no key of this id that is for this algorithm.
	ErrUnknownKey = errors.New("unknown key")
	// ErrUnavailable means that there may be such a key, but the set could not be fetched, or not in time. The cause is wrapped.
	ErrUnavailable = errors.New("key set unavailable")
)

// Answer is a key set as the server gave it.
type Answer struct {
	Body   []byte        // a JWK set, RFC 7517 §5
	MaxAge time.Duration // for how long it is said to be good; 0: it is not said, and 5 minutes are taken
}

// Config is what a Cache needs. Only Fetch has to be there.
type Config struct {
	// Fetch asks the server. It is called by Run only, never twice at a time, and given up after 30 seconds.
	Fetch func(ctx context.Context) (Answer, error)
	// HardMaxAge is how long keys are kept while the server cannot be asked; 0: 24 hours.
	HardMaxAge time.Duration
	// CoolDown is how long after a fetch no token makes another; 0: 10 seconds.
	CoolDown time.Duration
	// Log is told of failures, and of keys that come and go; nil: nobody is.
	Log *slog.Logger
	// Changed is told of every set that is not that of the fetch before; nil: nobody is. It is called by Run, which waits for it.
	Changed func(body []byte)
}

// Held is a key that the cache has, or had.
type Held struct {
	*jose.Key
	withdrawn atomic.Bool
}

// Withdrawn tells whether the key is no longer to be used: a later set lacks it or has another under its id, none came for so long
// that it counts no more, or the cache has ended. It never turns back. It may be asked on the hot path.
func (h *Held) Withdrawn() bool { return h.withdrawn.Load() }

// Cache is the key set of one authorization server. It is safe for concurrent use.
type Cache struct {
	config Config
	keys   atomic.Pointer[keys] // nil: none yet, or none that still counts
	asked  chan struct{}        // has room for one: a flight waits for Run

	mu     sync.Mutex  // held for moments, never while the server is asked
	flight *flight     // the last one; nil: there was none
	closed bool        // Run has ended
	eager  time.Time   // until when a new key is expected
	expiry *time.Timer // ends the keys that are held
	body   []byte      // of the last good set
	failed error       // why the last fetch failed; nil: it did not
	state  State       // without what Describe adds
}

// New returns a cache without keys. It does no I/O.
func New(config Config) *Cache {
	if config.HardMaxAge == 0 {
		config.HardMaxAge = 24 * time.Hour
	}
	if config.CoolDown == 0 {
		config.CoolDown = 10 * time.Second
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Cache{config: config, asked: make(chan struct{}, 1)}
}
