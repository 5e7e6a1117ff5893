package instance

import (
	"context"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
)

// hints tell other instances by Redis that the change log has news, and hear of theirs. A lost hint costs nothing but the
// time until the next poll. A nil hints does nothing.
type hints struct {
	redis   *redisconn.Conn
	channel string
	news    func()
	due     chan struct{}
	heard   chan struct{}
}

// hintsApart is how far apart the reads of the change log are that hints ask for, so that a flood of them, whoever sends it, is
// no flood of reads.
const hintsApart = 5 * time.Millisecond

// HintChannel is the channel of Redis by which the instances of an issuer tell each other of changes.
func HintChannel(issuer string) string { return "countersign:changes:" + issuer }

func newHints(redis *redisconn.Conn, issuer string, news func()) *hints {
	return &hints{redis: redis, channel: HintChannel(issuer), news: news, due: make(chan struct{}, 1), heard: make(chan struct{}, 1)}
}

// publish asks for a hint to be sent. It does not wait; hints that are due together are one.
func (h *hints) publish() {
	if h == nil {
		return
	}
	signal(h.due)
}

// signal does not wait: signals that nobody has taken yet are one.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// run sends and receives until ctx ends.
func (h *hints) run(ctx context.Context) {
	var receiving sync.WaitGroup
	receiving.Go(func() { h.redis.Subscribe(ctx, h.channel, h) })
	receiving.Go(func() { h.pass(ctx) })
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

// pass tells of what was heard, until ctx ends.
func (h *hints) pass(ctx context.Context) {
	apart := time.NewTicker(hintsApart)
	defer apart.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.heard:
			h.news()
		}
		apart.Reset(hintsApart)
		select {
		case <-ctx.Done():
			return
		case <-apart.C:
		}
	}
}

// Subscribed implements redisconn.Subscriber: what was published meanwhile is lost, so look.
func (h *hints) Subscribed() { signal(h.heard) }

// Message implements redisconn.Subscriber.
func (h *hints) Message(string) { signal(h.heard) }
