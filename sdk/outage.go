package sdk

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// outageOver is for how long no token may have been ErrUnavailable before an outage counts as over.
const outageOver = 10 * time.Second

// outage is a time in which tokens cannot be judged. Whoever reads the log is told when it begins and when it is over, and not of each call.
type outage struct {
	epoch time.Time    // from which last counts
	last  atomic.Int64 // when a token could last not be judged, never 0; 0: there is no outage

	mu    sync.Mutex
	began time.Time
	count uint64 // tokens that could not be judged
}

// note takes down what became of a token. A caller who has gone says nothing of the server.
func (e *engine) note(ctx context.Context, audience string, err error) {
	switch {
	case err == nil:
		e.recovered(ctx, time.Now())
	case !errors.Is(err, ErrUnavailable), e.closed.Load(), errors.Is(ctx.Err(), context.Canceled):
	case e.outage.add(time.Now()):
		e.config.log.WarnContext(ctx, "tokens cannot be checked", slog.String("audience", audience), slog.Any("error", err))
	}
}

// add tells whether the outage begins.
func (o *outage) add(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == 0 {
		o.began = now
	}
	o.count++
	o.last.Store(int64(max(now.Sub(o.epoch), 1)))
	return o.count == 1
}

// recovered ends an outage, if there was one and it is over. While revocations are not heard it goes on: strict routes, seldom called
// as they may be, depend on the server each time. It is on the hot path, where it is one load.
func (e *engine) recovered(ctx context.Context, now time.Time) {
	if e.outage.last.Load() == 0 || !e.outage.over(now) || e.feedState.Load() == feedFollowed && !e.feed.Lease(now) {
		return
	}
	if count, lasted := e.outage.end(now); count > 0 {
		e.config.log.InfoContext(ctx, "tokens can be checked again", slog.Uint64("count", count), slog.Duration("duration", lasted.Round(time.Millisecond)))
	}
}

func (o *outage) over(now time.Time) bool {
	return now.Sub(o.epoch)-time.Duration(o.last.Load()) >= outageOver
}

// end returns how many tokens could not be judged, and for how long, unless another caller was told or another token came.
func (o *outage) end(now time.Time) (count uint64, lasted time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == 0 || !o.over(now) {
		return 0, 0
	}
	count, lasted = o.count, o.epoch.Add(time.Duration(o.last.Load())).Sub(o.began)
	o.count = 0
	o.last.Store(0)
	return count, lasted
}
