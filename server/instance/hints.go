package instance

import (
	"context"
	"sync"

	"github.com/countersign/countersign/internal/redisconn"
)

// hints tell other instances by Redis that the change log has news, and hear of theirs. A lost hint costs nothing but the
// time until the next poll. A nil hints does nothing.
type hints struct {
	redis   *redisconn.Conn
	channel string
	news    func()
	due     chan struct{}
}

func newHints(redis *redisconn.Conn, issuer string, news func()) *hints {
	return &hints{redis: redis, channel: "countersign:changes:" + issuer, news: news, due: make(chan struct{}, 1)}
}

// publish asks for a hint to be sent. It does not wait; hints that are due together are one.
func (h *hints) publish() {
	if h == nil {
		return
	}
	select {
	case h.due <- struct{}{}:
	default:
	}
}

// run sends and receives until ctx ends.
func (h *hints) run(ctx context.Context) {
	var receiving sync.WaitGroup
	receiving.Go(func() { h.redis.Subscribe(ctx, h.channel, h) })
	defer receiving.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.due:
			_ = h.redis.Publish(ctx, h.channel, "changed") // counted by redisconn; the poll brings it anyway
		}
	}
}

// Subscribed implements redisconn.Subscriber: what was published meanwhile is lost, so look.
func (h *hints) Subscribed() { h.news() }

// Message implements redisconn.Subscriber.
func (h *hints) Message(string) { h.news() }
