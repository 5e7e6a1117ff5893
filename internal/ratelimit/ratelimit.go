// Package ratelimit says whether a request is within a limit: for all processes together by an account in Redis, or for
// this process. Accounts are kept by the generic cell rate algorithm (GCRA), in Redis by its own clock.
//
// A Limiter asks Redis each time, and is exact: among requests that come at the same time, in the same process or not, never
// more pass than the limit says. While Redis fails or does not answer in time, the process decides by the same limit, with
// accounts that begin full. So there can pass up to the limit per process then. That costs a request at most the budget of redisconn,
// and nothing while Redis is left alone. No failure reaches the caller.
//
// A Tally never makes a request wait: it decides in the process, tells Redis afterwards, and learns from it what other processes
// counted. Between two reports each process can let a burst pass.
//
// Each account in Redis is gone once its burst would be there again. A Redis that drops keys for lack of memory gives their owners
// a new burst. docs/gateway.md and docs/token-store.md have the rights that it takes.
package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/redisconn"
)

// DefaultKeys is how many accounts are kept in the process unless told otherwise.
const DefaultKeys = 100_000

// Config is what New and NewTally need. The zero value is sensible.
type Config struct {
	// Redis has the accounts of all processes. Nil: each process counts for itself.
	Redis *redisconn.Conn
	// Prefix is what the keys of accounts in Redis begin with: accounts of equal keys and limits under one prefix are one.
	// Empty is "csr:".
	Prefix string
	// Keys bounds the accounts in the process, each of about 160 bytes however long its key is. Beyond it those that have
	// the most room are forgotten, and begin full when they come again: with many more keys in use than this, rare ones
	// are not limited. 0 is DefaultKeys.
	Keys int
	Now  func() time.Time // clock of the accounts in the process; nil: time.Now
	// Fallbacks counts what was not shared because Redis did not answer: requests of a Limiter, reports of a Tally. Nil: nothing does.
	Fallbacks prometheus.Counter
}

func (c *Config) complete() error {
	if c.Keys < 0 {
		return fmt.Errorf("rate limits: %d keys", c.Keys)
	}
	if c.Keys == 0 {
		c.Keys = DefaultKeys
	}
	if c.Prefix == "" {
		c.Prefix = "csr:"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Fallbacks == nil {
		c.Fallbacks = prometheus.NewCounter(prometheus.CounterOpts{})
	}
	return nil
}

// Limiter says whether requests are within their limits. Its methods may be called by any number of goroutines; those with
// different keys do not wait for each other.
type Limiter struct {
	config Config
	local  *local
}

// New returns a Limiter. It does no I/O.
func New(cfg Config) (*Limiter, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return &Limiter{cfg, newLocal(cfg.Keys, cfg.Now)}, nil
}

// Allow takes one request from the account of key under the limit. A key may be any text; under another limit it has another
// account. When ctx has ended, Redis is not asked.
func (l *Limiter) Allow(ctx context.Context, key string, limit Limit) Verdict {
	if limit.Validate() != nil {
		return Verdict{}
	}
	name := nameOf(key, limit)
	if l.config.Redis == nil {
		return l.local.take(name, limit)
	}
	if l.config.Redis.Ready() {
		if v, err := takeFromRedis(ctx, l.config.Redis, name.in(l.config.Prefix), limit); err == nil {
			return v
		}
	}
	if ctx.Err() == nil {
		l.config.Fallbacks.Inc()
	}
	return l.local.take(name, limit)
}

// name stands for a key and its limit: nobody chooses what reaches Redis, or how much memory a key takes.
type name [sha256.Size]byte

// in is the name as a key of Redis.
func (n name) in(prefix string) string { return prefix + base64.RawURLEncoding.EncodeToString(n[:]) }

func nameOf[K string | []byte](key K, l Limit) name {
	text := make([]byte, 0, 128) // does not leave the stack unless key is long
	for _, number := range [...]int64{int64(l.interval()), int64(l.Burst)} {
		text = binary.BigEndian.AppendUint64(text, uint64(number)) //nolint:gosec // both are positive
	}
	return sha256.Sum256(append(text, key...))
}
