package sdkredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-redis/redis/v8"
)

// newClient makes a client with a pool of its own. It does no I/O.
func (s *Store) newClient() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:         s.address.String(), // not dialled: the dialer knows where to go
		Dialer:       s.dial,
		Username:     s.address.username,
		Password:     s.address.password,
		DB:           s.address.db,
		PoolSize:     s.address.poolSize,
		PoolTimeout:  s.budget,
		DialTimeout:  s.budget,
		ReadTimeout:  s.budget,
		WriteTimeout: s.budget,
		MaxRetries:   -1,
	})
}

// dial connects to Redis within the budget that ctx carries, or a fresh one.
func (s *Store) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(s.budget)
	}
	// The budget of a call has no Done channel, which looking up a name needs.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	target := s.address.hosts[0]
	if s.address.primary != "" {
		found, err := s.findPrimary(ctx)
		if err != nil {
			return nil, err
		}
		target = found
	}
	dialer := net.Dialer{KeepAlive: time.Minute}
	connect := dialer.DialContext
	if s.address.scheme == schemeTLS {
		connect = (&tls.Dialer{NetDialer: &dialer, Config: s.tls}).DialContext
	}
	conn, err := connect(ctx, network, target)
	if err != nil {
		return nil, err
	}
	return bound(conn, 0), nil
}

// findPrimary asks all Sentinels at once and takes the first answer: one that is cut off must not use up the budget.
func (s *Store) findPrimary(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan string, len(s.address.hosts))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, sentinel := range s.address.hosts {
		asking.Go(func() { answers <- s.askSentinel(ctx, sentinel) })
	}
	for range s.address.hosts {
		if found := <-answers; found != "" {
			return found, nil
		}
	}
	return "", errNoPrimary
}

var errNoPrimary = errors.New("no Sentinel names a primary")

// askSentinel returns the address of the primary, or nothing.
func (s *Store) askSentinel(ctx context.Context, sentinel string) string {
	client := redis.NewSentinelClient(&redis.Options{
		Addr: sentinel,
		Dialer: func(ctx context.Context, network, target string) (net.Conn, error) {
			conn, err := (&net.Dialer{Timeout: s.budget}).DialContext(ctx, network, target)
			if err != nil {
				return nil, err
			}
			return bound(conn, maxElements), nil
		},
		Username:     s.address.sentinelUsername,
		Password:     s.address.sentinelPassword,
		PoolSize:     1,
		DialTimeout:  s.budget,
		ReadTimeout:  s.budget,
		WriteTimeout: s.budget,
		MaxRetries:   -1,
	})
	defer func() { _ = client.Close() }() // nothing of it is left to lose
	found, err := client.GetMasterAddrByName(ctx, s.address.primary).Result()
	if err != nil || len(found) != 2 {
		return ""
	}
	return net.JoinHostPort(found[0], found[1])
}

// ailing reports whether an error shows a Redis that does not work as a whole, and not only for one command.
func ailing(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return true
	}
	for _, prefix := range []string{
		"LOADING ", "READONLY ", "MASTERDOWN ", "BUSY ", "NOAUTH ", "WRONGPASS ", "ERR max number of clients", "ERR invalid password",
	} {
		if strings.HasPrefix(reply.Error(), prefix) {
			return true
		}
	}
	return false
}

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
