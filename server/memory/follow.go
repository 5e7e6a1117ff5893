package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// reachPause is how long Reach waits after a read that did not bring it far enough, which happens only where reads lag.
const reachPause = 10 * time.Millisecond

// flight is one read that several wait for. Each of them came before it began, so that it sees whatever was committed
// before they asked.
type flight struct {
	done chan struct{}
	err  error
}

// Run reads the change log at every poll, at every hint, and for those who wait, until ctx ends. Call it once, after Load; end it
// after everything that uses Reach.
func (d *Directory) Run(ctx context.Context) {
	defer close(d.stopped)
	timer := time.NewTimer(d.poll)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.wake:
		}
		timer.Reset(d.poll)
		waiting := d.takeFlight()
		err := d.catchUp(ctx)
		if waiting != nil {
			waiting.err = err
			close(waiting.done)
		}
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			d.logger.ErrorContext(ctx, "change log cannot be read", "error", err, "sequence", d.Sequence())
		case err == nil && failing:
			d.logger.InfoContext(ctx, "change log is read again", "sequence", d.Sequence())
		}
		failing = err != nil
	}
}

// Hint asks for a read at once, such as when another instance says that there is news. It does not wait.
func (d *Directory) Hint() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// CatchUp implements auth.Directory. Beyond the rate it returns nil without a read, or fault.Unavailable if the directory is older
// than the staleness bound: an outage never turns into a verdict.
func (d *Directory) CatchUp(ctx context.Context) error {
	if d.limiter.AllowN(d.now(), 1) {
		return d.await(ctx, d.joinFlight())
	}
	if d.Age() > d.staleness {
		return fault.New(fault.Unavailable, "the change log could not be read in time")
	}
	return nil
}

// Refresh returns once everything that was committed before it was called is applied, or fault.Unavailable. It is for those who
// administer: whether they still may is judged by what is committed, not by what this instance happens to have read. No rate bounds
// it, but all who call while a read is under way share the next one; so it is not for callers that have not authenticated.
func (d *Directory) Refresh(ctx context.Context) error { return d.await(ctx, d.joinFlight()) }

// Reach implements auth.Directory.
func (d *Directory) Reach(ctx context.Context, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	for {
		if d.failure.Load() != nil {
			return d.Ready()
		}
		if d.Sequence() >= sequence {
			return nil
		}
		if err := d.await(ctx, d.joinFlight()); err != nil {
			return err
		}
		if d.Sequence() < sequence {
			select {
			case <-ctx.Done():
			case <-time.After(reachPause):
			}
		}
	}
}

func (d *Directory) joinFlight() *flight {
	d.mu.Lock()
	if d.next == nil {
		d.next = &flight{done: make(chan struct{})}
	}
	joined := d.next
	d.mu.Unlock()
	d.Hint()
	return joined
}

// takeFlight closes the flight to further waiters: its read begins.
func (d *Directory) takeFlight() *flight {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.next
	d.next = nil
	return taken
}

func (d *Directory) await(ctx context.Context, f *flight) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	const detail = "the change log could not be read in time"
	select {
	case <-f.done:
		if f.err != nil {
			return fault.Wrap(fault.Unavailable, detail, f.err)
		}
		return nil
	case <-d.stopped:
		return fault.New(fault.Unavailable, "the server is stopping")
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, detail, ctx.Err())
	}
}

// catchUp reads what is new, applies it, and publishes the sequence, in this order. Its caller is the only one.
func (d *Directory) catchUp(ctx context.Context) (err error) {
	if failure := d.failure.Load(); failure != nil {
		return *failure
	}
	begun, from := d.now().Sub(d.epoch), d.Position()
	read, err := d.readDelta(ctx, from)
	if err == nil {
		err = d.check(read.position)
	}
	switch {
	case err != nil:
		d.metrics.reads.failed.Inc()
		return err
	case read.tooFar:
		return d.reload(ctx)
	case read.position.Sequence == from.Sequence:
		d.metrics.reads.current.Inc()
		d.forget()
		d.readAt.Store(int64(begun))
		return nil
	}
	if err := d.tell(read); err != nil {
		d.metrics.reads.failed.Inc()
		return err
	}
	d.current.Load().apply(read)
	d.history.Store(d.history.Load().extended(read.position.Sequence, read.revocations))
	d.metrics.reads.applied.Inc()
	d.forget()
	d.readAt.Store(int64(begun))
	d.news.ring()
	return nil
}

// reload reads everything into a state of its own, and puts that in the place of the present one.
func (d *Directory) reload(ctx context.Context) error {
	begun := d.now().Sub(d.epoch)
	all, err := d.readAll(ctx)
	if err == nil {
		err = d.check(all.position)
	}
	if err == nil {
		err = d.tell(all)
	}
	if err != nil {
		d.metrics.reads.failed.Inc()
		return err
	}
	fresh := newState()
	fresh.apply(all)
	d.current.Store(fresh)
	d.history.Store(&history{position: all.position, revocations: all.revocations})
	d.metrics.reads.reloaded.Inc()
	d.forget()
	d.readAt.Store(int64(begun))
	d.news.ring()
	return nil
}

// check makes the directory fail for good if the log does not continue the one that was followed.
func (d *Directory) check(now auth.Position) error {
	if d.readAt.Load() == never {
		return nil
	}
	var err error
	switch followed := d.Position(); {
	case now.Generation != followed.Generation:
		err = fmt.Errorf("%w: %d became %d", errGeneration, followed.Generation, now.Generation)
	case now.Sequence < followed.Sequence:
		err = fmt.Errorf("%w: %d became %d", errGoneBack, followed.Sequence, now.Sequence)
	default:
		return nil
	}
	d.failure.Store(&err)
	d.news.ring()
	return err
}

// tell gives the observers what was read of theirs.
func (d *Directory) tell(read *delta) error {
	if read.sealed && d.onSealedKeys != nil {
		if err := d.onSealedKeys(read.sealing); err != nil {
			return fmt.Errorf("take over sealed keys: %w", err)
		}
	}
	if read.keys && d.onKeys != nil {
		if err := d.onKeys(read.signing); err != nil {
			return fmt.Errorf("take over signing keys: %w", err)
		}
	}
	return nil
}

// forget drops the revocations that can match no living token any more, once for each expiry bucket that ends.
func (d *Directory) forget() {
	now := d.now()
	bucket := auth.Bucket(now)
	if bucket == d.swept {
		return
	}
	d.swept = bucket
	shorter, dropped := d.history.Load().pruned(now)
	if len(dropped) > 0 {
		d.history.Store(shorter)
		d.current.Load().denied.forget(dropped)
	}
}

var _ auth.Directory = (*Directory)(nil)
