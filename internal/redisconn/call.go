package redisconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-redis/redis/v8"
	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how a call ended, a label of the metric.
type outcome string

const (
	outcomeOK       outcome = "ok"
	outcomeRefused  outcome = "refused"  // Redis answered with an error
	outcomeTimeout  outcome = "timeout"  // the budget ran out
	outcomeFailed   outcome = "failed"   // the connection could not be made, or broke
	outcomeRejected outcome = "rejected" // not tried: Redis is left alone
)

// do runs one call within the budget. ctx is looked at before the call only, since a call is short.
func (c *Conn) do(ctx context.Context, command string, call func(context.Context, *redis.Client) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("redis %s: %w", command, err)
	}
	if !c.breaker.TryAcquirePermit() {
		c.calls.WithLabelValues(command, string(outcomeRejected)).Inc()
		return ErrOpen
	}
	// Loaded after the permit: a trial call must go to the client whose failure counts.
	client := c.client.Load()
	err := call(budget{time.Now().Add(c.cfg.Budget)}, client)
	result, alive := judge(err)
	c.calls.WithLabelValues(command, string(result)).Inc()
	if alive {
		c.succeeded()
	} else {
		c.failed(client, err)
	}
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		return nil
	case errors.Is(err, redis.ErrClosed):
		return ErrClosed
	}
	return fmt.Errorf("redis %s: %w", command, err)
}

func (c *Conn) succeeded() {
	was := c.breaker.IsHalfOpen()
	c.breaker.RecordSuccess()
	if was && c.breaker.IsClosed() {
		c.log.Info("redis answers again")
	}
}

// failed counts a failure of client. If that opens the breaker, every connection is discarded: the trial call must not be
// judged by a connection that died with the Redis that failed.
func (c *Conn) failed(client *redis.Client, cause error) {
	if c.countFailure(client, cause) {
		_ = client.Close() // its connections are broken or about to be
	}
}

// countFailure reports whether client was replaced.
func (c *Conn) countFailure(client *redis.Client, cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client.Load() != client {
		return false // a straggler: the failure of the client was counted already
	}
	was := c.breaker.IsClosed()
	c.breaker.RecordFailure()
	if !c.breaker.IsOpen() || c.closed {
		return false
	}
	if was {
		c.log.Warn("redis does not answer, going on without it", slog.Any("error", cause))
	}
	c.client.Store(c.newClient())
	return true
}

// judge says how a call ended and whether that shows a Redis that works.
func judge(err error) (result outcome, alive bool) {
	if err == nil || errors.Is(err, redis.Nil) {
		return outcomeOK, true
	}
	if reply, ok := errors.AsType[redis.Error](err); ok {
		return outcomeRefused, !ailing(reply.Error())
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return outcomeTimeout, false
	}
	return outcomeFailed, false
}

// ailing reports whether an error that Redis answered speaks of Redis as a whole and not of one command.
func ailing(reply string) bool {
	for _, prefix := range []string{
		"LOADING ", "READONLY ", "MASTERDOWN ", "BUSY ", "NOAUTH ", "WRONGPASS ", "ERR max number of clients", "ERR invalid password",
	} {
		if strings.HasPrefix(reply, prefix) {
			return true
		}
	}
	return false
}

func (c *Conn) register(r prometheus.Registerer) error {
	c.calls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_redis_calls_total",
		Help: "Calls to Redis by command and outcome: ok, refused (Redis answered with an error), timeout, failed, rejected (not tried).",
	}, []string{"command", "outcome"})
	if r == nil {
		return nil
	}
	if err := r.Register(c.calls); err != nil {
		return err
	}
	return r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "countersign_redis_up",
		Help: "1 while Redis is used, 0 while it is left alone because calls failed.",
	}, func() float64 {
		if c.breaker.IsClosed() {
			return 1
		}
		return 0
	}))
}
