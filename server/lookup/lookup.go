// Package lookup finds the token behind what was presented: in memory, in the shared token store, in the database; a JWT by
// its signature.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const (
	// DefaultTimeout bounds the look-up of a token that is not in memory.
	DefaultTimeout = 2 * time.Second
	// DefaultReads is how many tokens are read from the database at once.
	DefaultReads = 64
	// flightsPerRead is how many look-ups may be under way for each database read that is allowed at once.
	flightsPerRead = 16
	retryAfter     = time.Second
)

// Config is what New needs.
type Config struct {
	Memory auth.TokenStore // of this process
	Store  auth.TokenStore // shared between processes; nil: none
	Ledger auth.Ledger
	// Verify checks a JWT by its signature and returns its token, or fault.InvalidToken. It may wait for the directory to
	// reach the state that the token was decided from.
	Verify     func(ctx context.Context, presented string) (*auth.Token, error)
	Timeout    time.Duration         // bound on the look-up of a token that is not in memory; 0: DefaultTimeout
	Reads      int                   // bound on database reads at once; 0: DefaultReads
	Registerer prometheus.Registerer // nil: no metrics
}

// Resolver is an auth.Resolver. Its methods may be called by any number of goroutines.
//
// Whoever presents the same token while it is looked up shares the look-up, which nobody's cancellation ends: it ends by
// itself within Config.Timeout. That a token is unknown is not remembered, since its row may be committed a moment later.
//
// The checksum of an opaque token keeps mistakes from the database, but no attacker, who can compute it for any made-up id.
// What keeps those from flooding the database is the bound on reads: beyond it look-ups wait, and beyond a multiple of it
// they are fault.Unavailable at once.
type Resolver struct {
	cfg     Config
	metrics *metrics
	flights singleflight.Group
	under   atomic.Int64  // flights of opaque tokens
	reads   chan struct{} // a place for each database read under way
}

var _ auth.Resolver = (*Resolver)(nil)

// New returns a Resolver.
func New(cfg Config) (*Resolver, error) {
	if cfg.Memory == nil || cfg.Ledger == nil || cfg.Verify == nil {
		return nil, errors.New("look-up of tokens: Memory, Ledger and Verify are needed")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Reads == 0 {
		cfg.Reads = DefaultReads
	}
	if cfg.Timeout < 0 || cfg.Reads < 0 {
		return nil, errors.New("look-up of tokens: Timeout and Reads must be above 0")
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	return &Resolver{cfg: cfg, metrics: m, reads: make(chan struct{}, cfg.Reads)}, nil
}

// Resolve implements auth.Resolver.
func (r *Resolver) Resolve(ctx context.Context, presented string, apis []auth.APIID) (*auth.Token, error) {
	if len(presented) > auth.MaxTokenLength {
		r.metrics.rejected.Inc()
		return nil, fault.New(fault.InvalidToken, "the token is too long")
	}
	key := auth.KeyOf(presented)
	if t := r.cfg.Memory.Lookup(ctx, key, apis); t != nil {
		r.metrics.memoryHit.Inc()
		return t, nil
	}
	if !auth.LooksOpaque(presented) {
		return r.await(ctx, key, func(ctx context.Context) (*auth.Token, error) { return r.verify(ctx, key, presented) })
	}
	id, proof, err := auth.ParseOpaque(presented)
	if err != nil {
		r.metrics.rejected.Inc()
		return nil, err
	}
	s := search{key: key, id: id, proof: proof, apis: apis}
	return r.await(ctx, key, func(ctx context.Context) (*auth.Token, error) { return r.find(ctx, s) })
}

// await joins or begins the flight for a token and leaves it when ctx ends.
func (r *Resolver) await(ctx context.Context, key auth.TokenKey, fly func(context.Context) (*auth.Token, error)) (*auth.Token, error) {
	flight := r.flights.DoChan(string(key[:]), func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeout)
		defer cancel()
		// An earlier flight may have landed since this caller looked in memory.
		if t := r.cfg.Memory.Lookup(detached, key, nil); t != nil {
			return t, nil
		}
		return fly(detached)
	})
	select {
	case landed := <-flight:
		if landed.Err != nil {
			return nil, landed.Err
		}
		return landed.Val.(*auth.Token), nil //nolint:errcheck,forcetypeassert // the flight returns nothing else
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, "the token could not be looked up in time", ctx.Err())
	}
}

// verify checks a JWT by its signature.
func (r *Resolver) verify(ctx context.Context, key auth.TokenKey, presented string) (*auth.Token, error) {
	t, err := r.cfg.Verify(ctx, presented)
	switch {
	case errors.Is(err, fault.InvalidToken):
		r.metrics.signatureBad.Inc()
		return nil, err
	case err != nil:
		r.metrics.signatureFailed.Inc()
		return nil, err
	}
	r.metrics.signatureGood.Inc()
	r.cfg.Memory.Remember(key, t)
	return t, nil
}

// search is an opaque token to find.
type search struct {
	key   auth.TokenKey
	id    auth.TokenID
	proof [32]byte
	apis  []auth.APIID
}

// find asks the shared store, then the database, and fills on the way back what did not know the token.
func (r *Resolver) find(ctx context.Context, s search) (*auth.Token, error) {
	defer r.under.Add(-1)
	if r.under.Add(1) > int64(cap(r.reads))*flightsPerRead {
		r.metrics.databaseShed.Inc()
		return nil, tooMany(nil)
	}
	if r.cfg.Store != nil {
		if t := r.cfg.Store.Lookup(ctx, s.key, s.apis); t != nil {
			r.metrics.storeHit.Inc()
			r.cfg.Memory.Remember(s.key, t)
			return t, nil
		}
	}
	t, err := r.read(ctx, s)
	if err != nil {
		return nil, err
	}
	r.cfg.Memory.Remember(s.key, t)
	if r.cfg.Store != nil {
		r.cfg.Store.Remember(s.key, t)
	}
	return t, nil
}

// read asks the database for the row and checks that its secret part was presented.
func (r *Resolver) read(ctx context.Context, s search) (*auth.Token, error) {
	select {
	case r.reads <- struct{}{}:
		defer func() { <-r.reads }()
	case <-ctx.Done():
		r.metrics.databaseShed.Inc()
		return nil, tooMany(ctx.Err())
	}
	t, err := r.cfg.Ledger.Token(ctx, s.id)
	switch {
	case errors.Is(err, fault.NotFound):
		r.metrics.databaseMiss.Inc()
		return nil, errUnknown()
	case err != nil:
		r.metrics.databaseFailed.Inc()
		if ctx.Err() != nil {
			return nil, fault.Wrap(fault.Unavailable, "the token could not be looked up in time", err)
		}
		return nil, fmt.Errorf("look up token %s: %w", s.id, err)
	case !t.Proves(s.proof):
		r.metrics.databaseUnproven.Inc()
		return nil, errUnknown()
	}
	r.metrics.databaseHit.Inc()
	return t, nil
}

func errUnknown() error { return fault.New(fault.InvalidToken, "the token is unknown") }

func tooMany(cause error) error {
	busy := fault.Wrap(fault.Unavailable, "too many tokens are being looked up", cause)
	busy.RetryAfter = retryAfter
	return busy
}
