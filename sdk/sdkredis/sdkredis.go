// Package sdkredis keeps in Redis what the instances of a service share, and reads the issuer's token store, for
// [sdk.WithSharedTokens], [sdk.WithTokenStore] and [sdk.WithReplayStore].
//
// It never holds up its caller: every call ends within a budget, 50 ms by default, and nothing is tried twice. For the token store a
// user that may read is enough (docs/token-store.md):
//
//	ACL SETUSER inventory on >PASSWORD resetkeys %R~cst:{api_…}:* resetchannels -@all +getrange
//
// For shared tokens it needs +getrange +set +eval +get +del on its keys, for used DPoP proofs +set on %RW~csp:*; any needs +select if the URL names another database than 0.
package sdkredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis/v8"
)

const (
	defaultBudget = 50 * time.Millisecond
	// maxValue bounds a value in bytes, so that whoever can write to Redis cannot exhaust the memory of everybody who reads there.
	maxValue = 16 << 10
	// failuresToReplace is how many calls in a row must fail before all connections are made anew.
	failuresToReplace = 3
)

// ErrClosed is the answer to a call after Close.
var ErrClosed = errors.New("redis connection is closed")

// Store is a Redis: an sdk.RecordReader, an sdk.TokenStore and an sdk.ReplayStore. Its methods may be called by any number of goroutines.
type Store struct {
	address address
	tls     *tls.Config
	budget  time.Duration

	client   atomic.Pointer[redis.Client]
	failures atomic.Int32 // in a row
	mu       sync.Mutex   // guards replacing client
	closed   bool
}

// Option is an option of Open.
type Option func(*Store) error

// WithTLS says how servers are verified and which certificate they are shown, for rediss:// only. It is not to be changed afterwards.
// By default it is the system's roots, from TLS 1.2 on.
func WithTLS(config *tls.Config) Option {
	return func(s *Store) error {
		if config == nil || s.address.scheme != schemeTLS {
			return errors.New("WithTLS: it needs a configuration and a URL that begins with rediss://")
		}
		s.tls = config.Clone()
		return nil
	}
}

// WithBudget says how long a call may take, connecting included: from 1 ms to 1 s, 50 ms by default.
func WithBudget(budget time.Duration) Option {
	return func(s *Store) error {
		if budget < time.Millisecond || budget > time.Second {
			return fmt.Errorf("WithBudget(%v): allowed is 1ms to 1s", budget)
		}
		s.budget = budget
		return nil
	}
}

// Open prepares connections to the Redis that the URL names. It does no I/O. The forms are
//
//	redis://[user:password@]host[:port][/db]
//	rediss://[user:password@]host[:port][/db]                               over TLS
//	redis+sentinel://[user:password@]host[:port],host[:port]/name[/db]      the primary that Sentinels name
//
// with the options pool_size (1 to 1000 connections, 32 by default) and, for Sentinels that want authentication of their own,
// sentinel_username and sentinel_password. User and password are percent-encoded. No error holds any part of them.
func Open(url string, opts ...Option) (*Store, error) {
	parsed, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	s := &Store{address: parsed, tls: &tls.Config{MinVersion: tls.VersionTLS12}, budget: defaultBudget}
	for _, option := range opts {
		if err := option(s); err != nil {
			return nil, err
		}
	}
	s.client.Store(s.newClient())
	return s, nil
}

// String returns the address, without user and password.
func (s *Store) String() string { return s.address.String() }

// Format implements fmt.Formatter: whatever the verb, what is printed is String, and no password.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// Close ends all connections. Calls after it fail. Closing again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.client.Load().Close()
}

// do runs one call within the budget. That ctx ends meanwhile is not noticed: a call is short.
func (s *Store) do(ctx context.Context, command string, call func(context.Context, *redis.Client) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("redis %s: %w", command, err)
	}
	client := s.client.Load()
	err := call(budget{time.Now().Add(s.budget)}, client)
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		s.failures.Store(0)
		return nil
	case errors.Is(err, redis.ErrClosed):
		err = ErrClosed // of the store, or of a client that was just replaced
	case !ailing(err):
		s.failures.Store(0)
	case s.failures.Add(1) == failuresToReplace:
		s.replace(client)
	}
	return fmt.Errorf("redis %s: %w", command, err)
}

// replace discards all connections: those that lie in the pool died with the Redis that failed, or lead to what is no primary any more.
func (s *Store) replace(failed *redis.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures.Store(0)
	if s.closed || !s.client.CompareAndSwap(failed, s.newClient()) {
		return
	}
	_ = failed.Close() // its connections are broken
}
