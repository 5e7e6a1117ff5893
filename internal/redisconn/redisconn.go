// Package redisconn talks to Redis in a way that never holds up its caller: every call ends within a budget, whatever
// state Redis is in, and a Redis that does not answer costs nothing per call until it answers again. It is the only
// package that knows the Redis library.
package redisconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/go-redis/redis/v8"
	"github.com/prometheus/client_golang/prometheus"
)

// DefaultBudget bounds a call, DefaultProbe is how long a Redis that failed is left alone.
const (
	DefaultBudget = 50 * time.Millisecond
	DefaultProbe  = time.Second
)

// failuresToOpen is how many calls in a row must fail before Redis is left alone.
const failuresToOpen = 3

// ErrOpen is the answer to a call while Redis is left alone because calls before it failed.
var ErrOpen = errors.New("redis does not answer and is left alone for now")

// ErrClosed is the answer to a call after Close.
var ErrClosed = errors.New("redis connection is closed")

// Config is what Open needs beyond the address. The zero value is sensible.
type Config struct {
	Budget     time.Duration         // bound on every call, connecting included; 0: DefaultBudget
	Probe      time.Duration         // time between trial calls to a Redis that failed; 0: DefaultProbe
	TLS        *tls.Config           // for rediss; nil: the system's roots
	Logger     *slog.Logger          // told when Redis goes and comes back; nil: nothing is logged
	Registerer prometheus.Registerer // nil: no metrics
}

// Conn is a pool of connections to one Redis. Its methods may be called by any number of goroutines.
type Conn struct {
	cfg     Config
	address address
	log     *slog.Logger
	calls   *prometheus.CounterVec
	breaker circuitbreaker.CircuitBreaker[any]

	client  atomic.Pointer[redis.Client]
	mu      sync.Mutex // guards replacing client
	closing chan struct{}
	closed  bool
	users   sync.WaitGroup // subscriptions
}

// Open prepares connections to the Redis that the URL names. It does no I/O: a Redis that cannot be reached must not keep
// a server from starting. The forms are
//
//	redis://[user:password@]host[:port][/db]
//	rediss://[user:password@]host[:port][/db]                               over TLS
//	redis+sentinel://[user:password@]host[:port],host[:port]/name[/db]      the primary that Sentinels name
//
// with the options pool_size (1 to 1000 connections) and, for Sentinels that want authentication of their own,
// sentinel_username and sentinel_password. User and password are percent-encoded. No error holds any part of them.
func Open(url string, cfg Config) (*Conn, error) {
	parsed, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	if cfg.Budget == 0 {
		cfg.Budget = DefaultBudget
	}
	if cfg.Probe == 0 {
		cfg.Probe = DefaultProbe
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	silenceLibrary()
	c := &Conn{
		cfg: cfg, address: parsed, closing: make(chan struct{}),
		log: cfg.Logger.With(slog.String("redis", parsed.String())),
	}
	c.breaker = circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(failuresToOpen).
		WithSuccessThreshold(1).
		WithDelay(cfg.Probe).
		Build()
	if err := c.register(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("register metrics of redis: %w", err)
	}
	c.client.Store(c.newClient())
	return c, nil
}

// String returns the address, without user and password.
func (c *Conn) String() string { return c.address.String() }

// Ready reports whether a call would be tried. It is false while Redis is left alone: what would be prepared for a call
// can be spared.
func (c *Conn) Ready() bool { return !c.breaker.IsOpen() || c.breaker.RemainingDelay() == 0 }

// Close ends all connections and returns when every Subscribe has. Calls after it fail. Closing again does nothing.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.closing)
	client := c.client.Load()
	c.mu.Unlock()
	err := client.Close()
	c.users.Wait()
	return err
}

// enter registers a user that Close waits for, or reports false after Close.
func (c *Conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.users.Add(1)
	return true
}
