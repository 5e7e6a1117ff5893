// Package ratelimit says whether a request is within a limit: for all gateways together by an account in Redis, or for
// this process.
//
// The account in Redis is kept by the generic cell rate algorithm (GCRA) in one script, by Redis' own clock. That in the
// process is a token bucket, which lets the same pass. Both are exact: among requests that come at the same time, in the
// same process or not, never more pass than the limit says.
//
// While Redis fails or does not answer in time, the process decides by the same limit, with accounts that begin full. So
// there can pass up to the limit per gateway then. That costs a request at most the budget of redisconn, and nothing while
// Redis is left alone. No failure reaches the caller.
//
// Accounts in Redis are keys that begin with "csr:"; each is gone once its burst would be there again. A Redis that drops keys
// for lack of memory gives their owners a new burst. docs/gateway.md has the rights that it takes.
package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/redisconn"
)

// DefaultKeys is how many accounts are kept in the process unless told otherwise.
const DefaultKeys = 100_000

// Config is what New needs. The zero value is sensible.
type Config struct {
	// Redis has the accounts of all gateways. Nil: each process counts for itself.
	Redis *redisconn.Conn
	// Keys bounds the accounts in the process, each of about 300 bytes however long its key is. Beyond it those that are
	// used least are forgotten, and begin full when they come again: with many more keys in use than this, rare ones
	// are not limited. 0 is DefaultKeys.
	Keys       int
	Now        func() time.Time      // clock of the accounts in the process; nil: time.Now
	Registerer prometheus.Registerer // nil: no metrics
}

// Limiter says whether requests are within their limits. Its methods may be called by any number of goroutines; those with
// different keys do not wait for each other.
type Limiter struct {
	redis     *redisconn.Conn
	local     *local
	fallbacks prometheus.Counter
}

// New returns a Limiter. Close ends it. It does no I/O.
func New(cfg Config) (*Limiter, error) {
	if cfg.Keys == 0 {
		cfg.Keys = DefaultKeys
	}
	if cfg.Keys < 0 {
		return nil, fmt.Errorf("rate limits: %d keys", cfg.Keys)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Limiter{redis: cfg.Redis, fallbacks: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "countersign_gateway_ratelimit_fallbacks_total",
		Help: "Requests whose limit this gateway decided by itself because Redis did not answer.",
	})}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(l.fallbacks); err != nil {
			return nil, fmt.Errorf("register metrics of rate limits: %w", err)
		}
	}
	var err error
	if l.local, err = newLocal(cfg.Keys, cfg.Now); err != nil {
		return nil, fmt.Errorf("rate limits in memory: %w", err)
	}
	return l, nil
}

// Close ends the goroutines that forget accounts. It leaves Redis open.
func (l *Limiter) Close() { l.local.close() }

// Allow takes one request from the account of key under the limit. A key may be any text; under another limit it has another
// account. When ctx has ended, Redis is not asked.
func (l *Limiter) Allow(ctx context.Context, key string, limit Limit) Verdict {
	if limit.Validate() != nil {
		return Verdict{}
	}
	name := nameOf(key, limit)
	if l.redis == nil {
		return l.local.take(name, limit)
	}
	if l.redis.Ready() {
		if v, err := takeFromRedis(ctx, l.redis, name, limit); err == nil {
			return v
		}
	}
	if ctx.Err() == nil {
		l.fallbacks.Inc()
	}
	return l.local.take(name, limit)
}

// name stands for a key and its limit: nobody chooses what reaches Redis, or how much memory a key takes.
type name [sha256.Size]byte

func nameOf(key string, l Limit) name {
	text := make([]byte, 0, 128) // does not leave the stack unless key is long
	for _, number := range [...]int64{int64(l.interval()), int64(l.Burst)} {
		text = binary.BigEndian.AppendUint64(text, uint64(number)) //nolint:gosec // both are positive
	}
	return sha256.Sum256(append(text, key...))
}
