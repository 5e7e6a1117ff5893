package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-redis/redis/v8"
)

// newClient makes a client with a pool of its own. It does no I/O.
func (c *Conn) newClient() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:         c.address.String(), // not dialled: the dialer knows where to go
		Dialer:       c.dial,
		Username:     c.address.username,
		Password:     c.address.password,
		DB:           c.address.db,
		PoolSize:     c.address.poolSize,
		PoolTimeout:  c.cfg.Budget,
		DialTimeout:  c.cfg.Budget,
		ReadTimeout:  c.cfg.Budget,
		WriteTimeout: c.cfg.Budget,
		MaxRetries:   -1,
	})
}

// dial connects to Redis within the budget that ctx carries, or a fresh one.
func (c *Conn) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(c.cfg.Budget)
	}
	// The budget of a call has no Done channel, which looking up a name needs.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	target := c.address.hosts[0]
	if c.address.primary != "" {
		found, err := c.findPrimary(ctx)
		if err != nil {
			return nil, err
		}
		target = found
	}
	dialer := net.Dialer{KeepAlive: time.Minute}
	if c.address.scheme != "rediss" {
		return dialer.DialContext(ctx, network, target)
	}
	secured := tls.Dialer{NetDialer: &dialer, Config: c.cfg.TLS}
	return secured.DialContext(ctx, network, target)
}

// findPrimary asks all Sentinels at once and takes the first answer: one that is cut off must not use up the budget.
// A demoted primary that is named all the same is found out by its refusal to write.
func (c *Conn) findPrimary(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan string, len(c.address.hosts))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, sentinel := range c.address.hosts {
		asking.Go(func() { answers <- c.askSentinel(ctx, sentinel) })
	}
	for range c.address.hosts {
		if found := <-answers; found != "" {
			return found, nil
		}
	}
	return "", errNoPrimary
}

var errNoPrimary = errors.New("no Sentinel names a primary")

// askSentinel returns the address of the primary, or nothing.
func (c *Conn) askSentinel(ctx context.Context, sentinel string) string {
	client := redis.NewSentinelClient(&redis.Options{
		Addr:         sentinel,
		Username:     c.address.sentinelUsername,
		Password:     c.address.sentinelPassword,
		PoolSize:     1,
		DialTimeout:  c.cfg.Budget,
		ReadTimeout:  c.cfg.Budget,
		WriteTimeout: c.cfg.Budget,
		MaxRetries:   -1,
	})
	defer func() { _ = client.Close() }() // nothing of it is left to lose
	found, err := client.GetMasterAddrByName(ctx, c.address.primary).Result()
	if err != nil || len(found) != 2 {
		return ""
	}
	return net.JoinHostPort(found[0], found[1])
}

//nolint:gochecknoglobals // the library has one logger for the whole process, which may be set only once
var silenceLibrary = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

// silent drops what the library would print: whatever matters reaches the caller as an error.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// budget is a context that ends by its deadline alone. For one that can be cancelled the library starts a goroutine per call.
type budget struct{ deadline time.Time }

func (b budget) Deadline() (time.Time, bool) { return b.deadline, true }
func (b budget) Done() <-chan struct{}       { return nil }
func (b budget) Value(any) any               { return nil }
func (b budget) Err() error {
	if time.Now().Before(b.deadline) {
		return nil
	}
	return fmt.Errorf("redis: %w", context.DeadlineExceeded)
}
