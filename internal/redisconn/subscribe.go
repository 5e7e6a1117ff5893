package redisconn

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/go-redis/redis/v8"
)

// A subscription that hears nothing for quiet asks whether Redis is there, and gives it as long to answer. A lost one is
// made again after a pause between minPause and maxPause.
const (
	quiet    = time.Second
	minPause = 50 * time.Millisecond
	maxPause = time.Second
)

// Subscriber is told what a subscription brings. Its methods are called one at a time and hold up what comes after.
type Subscriber interface {
	// Subscribed says that messages published from now on will arrive: at first, and after each time that the connection was
	// lost. What was published meanwhile is lost, so a Subscriber catches up on it by other means.
	Subscribed()
	// Message brings a message.
	Message(text string)
}

// Subscribe brings the messages of channel to s until ctx or the Conn ends; then it returns. It connects again by itself.
// The breaker does not bind it: a lost subscription is no call that somebody waits for.
func (c *Conn) Subscribe(ctx context.Context, channel string, s Subscriber) {
	if !c.enter() {
		return
	}
	defer c.users.Done()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		connected, err := c.listen(ctx, channel, s)
		if ctx.Err() != nil || c.isClosing() {
			return
		}
		if connected {
			pause = minPause
		}
		c.log.DebugContext(ctx, "redis subscription is lost", slog.String("channel", channel), slog.Any("error", err))
		select {
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // spreads reconnects, guards nothing
		case <-ctx.Done():
			return
		case <-c.closing:
			return
		}
	}
}

func (c *Conn) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// listen serves one connection until it is lost, ctx ends or the Conn is closed. It reports whether it was subscribed.
func (c *Conn) listen(ctx context.Context, channel string, s Subscriber) (connected bool, err error) {
	client := c.newClient() // of its own: the shared one is replaced when calls fail
	ended := make(chan struct{})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		select {
		case <-ctx.Done():
		case <-c.closing:
		case <-ended:
		}
		_ = client.Close() // wakes the read below
	}()
	defer func() { <-closed }()
	defer close(ended)

	messages := client.Subscribe(ctx, channel)
	defer func() { _ = messages.Close() }() // nothing of it is left to lose
	asked := false
	for {
		event, err := messages.ReceiveTimeout(ctx, quiet)
		if late, ok := err.(net.Error); ok && late.Timeout() && connected && !asked { //nolint:errorlint // the library does not wrap it
			asked = true
			if err := messages.Ping(ctx); err != nil {
				return connected, err
			}
			continue
		}
		if err != nil {
			return connected, err
		}
		asked = false
		switch event := event.(type) {
		case *redis.Subscription:
			connected = true
			s.Subscribed()
		case *redis.Message:
			s.Message(event.Payload)
		}
	}
}
