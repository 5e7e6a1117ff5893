// Package abuse bounds what clients and strangers can ask of the server: tokens of a client that does not keep them, guesses at
// secrets, guesses at tokens. No bound can be used against somebody else: tokens and introspections are counted for the client that
// authenticated, failures for who failed.
//
// Everything is counted in the process, in bounded memory, and shared by Redis afterwards: no request waits for Redis, and without it
// each process counts for itself. docs/abuse.md says what the bounds are.
package abuse

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/bounded"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/server/auth"
)

// What the settings are unless somebody sets them, and the most that they can be.
const (
	DefaultTokenBudget  = 1000
	DefaultFailureLimit = 300
	DefaultScanLimit    = 6000

	MaxLimit = 100_000
)

// Docs is the page that clients are sent to.
const Docs = "https://github.com/countersign/countersign/blob/main/docs/abuse.md"

// Config is what New needs. Limits are 0 to MaxLimit; 0 is no limit.
type Config struct {
	// TokenBudget is how many tokens a client can get for an API within the time after which one is renewed (renewal), and at once,
	// beyond those that each of its addresses has.
	TokenBudget int
	// FailureLimit is how many authentications a minute can fail from one address, and at once. A tenth of it is that of one client
	// there.
	FailureLimit int
	// ScanLimit is how many introspections a minute of one client can find no live token, and at once.
	ScanLimit int
	// Counters says where counts are shared, and has the clock. Its other fields are not looked at.
	Counters   ratelimit.Config
	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: no metrics
}

// Guard counts and refuses. Its methods may be called by any number of goroutines, and do not wait. A nil Guard refuses nothing.
type Guard struct {
	config   Config
	shares   *ratelimit.Tally // of each address in its client's tokens; in this process alone
	clients  *ratelimit.Tally // tokens beyond that, and introspections in vain
	failures *ratelimit.Tally
	known    *bounded.Map[place, *visit]
	metrics  *metrics
	notices  notices
}

// New returns a Guard. It does no I/O.
func New(c Config) (g *Guard, err error) {
	for name, limit := range map[string]int{"token budget": c.TokenBudget, "failure limit": c.FailureLimit, "scan limit": c.ScanLimit} {
		if limit < 0 || limit > MaxLimit {
			return nil, fmt.Errorf("%s of %d: allowed is 0 to %d", name, limit, MaxLimit)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Counters.Now == nil {
		c.Counters.Now = time.Now
	}
	g = &Guard{config: c, known: bounded.New[place, *visit](maxKnown)}
	g.notices.seen = map[notice]*record{}
	if g.metrics, err = newMetrics(c.Registerer, g.overBudget); err != nil {
		return nil, err
	}
	alone := ratelimit.Config{Keys: maxShares, Now: c.Counters.Now}
	shared := ratelimit.Config{Redis: c.Counters.Redis, Prefix: c.Counters.Prefix, Now: c.Counters.Now, Fallbacks: g.metrics.unshared}
	for _, made := range []struct {
		tally  **ratelimit.Tally
		config ratelimit.Config
		keys   int
	}{{&g.shares, alone, maxShares}, {&g.clients, shared, maxClients}, {&g.failures, shared, maxFailures}} {
		made.config.Keys = made.keys
		if *made.tally, err = ratelimit.NewTally(made.config); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Bounds on what is in memory. Where there is more, what has the most room, or was used longest ago, is forgotten and begins anew.
const (
	maxShares   = 100_000
	maxClients  = 50_000
	maxFailures = 50_000
	maxKnown    = 100_000
)

// Run shares by Redis what is counted, until ctx ends. Call it once; end it before Redis is closed.
func (g *Guard) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, tally := range []*ratelimit.Tally{g.clients, g.failures} {
		all.Go(func() { tally.Run(ctx) })
	}
	all.Wait()
}

// What a key counts is its first byte.
const (
	ofShare    = 'o'
	ofBudget   = 'b'
	ofScan     = 's'
	ofAddress  = 'a'
	ofAttempts = 'p'
)

// keySize is room for every key; maxText is how much of what was sent for a client id is looked at, more than an id has.
const (
	keySize = 64
	maxText = 40
)

func networkOf(a netip.Addr) [16]byte { return ratelimit.Network(a).As16() }

// tooMany returns what a caller is told, with why for the record of failures.
func tooMany(detail string, wait time.Duration, why error) error {
	refused := fault.Wrap(fault.TooMany, detail, why)
	refused.RetryAfter = wait
	return refused
}

func refusal(client auth.ClientID, reason string) error {
	return &auth.Refusal{Client: client, Reason: reason}
}
