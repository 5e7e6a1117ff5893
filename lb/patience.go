package lb

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// patience ends an attempt whose answer does not begin in time. Unlike http.Transport.ResponseHeaderTimeout it may be another for
// each request of one connection. One patience serves many attempts, one after the other, because timers cost memory; whoever still knows
// an earlier turn is not heard.
type patience struct {
	mu    sync.Mutex
	turn  uint64
	timer *time.Timer
	limit time.Duration
	give  context.CancelCauseFunc // gives up
	holds int                     // what has to end before time counts: a connection that is made, a body that is streamed
	over  bool
	late  error // why it was given up
}

// timeoutError is a net.Error.
type timeoutError struct{ limit time.Duration }

func (e *timeoutError) Error() string   { return fmt.Sprintf("no answer within %v", e.limit) }
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return true }

// patiences keeps those that nobody uses.
type patiences struct{ pool sync.Pool }

// begin starts to wait, or to hold, and returns a turn of some patience.
func (all *patiences) begin(limit time.Duration, give context.CancelCauseFunc, hold bool) turn {
	p, ok := all.pool.Get().(*patience)
	if !ok {
		p = new(patience)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	p.limit, p.give, p.holds, p.over, p.late = limit, give, 0, false, nil
	if p.timer == nil {
		p.timer = time.AfterFunc(limit, p.expire)
	} else {
		p.timer.Reset(limit)
	}
	if hold {
		p.holds = 1
		p.timer.Stop()
	}
	return turn{p, p.turn}
}

// end says that there is nothing to wait for any more, and returns an error if it comes too late.
func (all *patiences) end(t turn) error {
	p := t.patience
	if p == nil {
		return nil
	}
	p.mu.Lock()
	late := p.late
	p.over = true
	idle := p.timer.Stop() // else its function may be about to run
	p.mu.Unlock()
	if idle {
		all.pool.Put(p)
	}
	return late
}

func (p *patience) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || p.holds > 0 {
		return
	}
	p.over, p.late = true, &timeoutError{p.limit}
	p.give(p.late)
}

// turn is one attempt's use of a patience. The zero value waits for ever.
type turn struct {
	patience *patience
	number   uint64
}

// hold says that from now on time does not count.
func (t turn) hold() {
	p := t.patience
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn == t.number {
		p.holds++
		p.timer.Stop()
	}
}

// release ends one hold. After the last the whole time is there again.
func (t turn) release() {
	p := t.patience
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn != t.number {
		return
	}
	if p.holds--; p.holds == 0 && !p.over {
		p.timer.Reset(p.limit)
	}
}

type turnKey struct{}

// waiting is the context of an attempt. By it the dialer finds the attempt for which it connects.
type waiting struct {
	context.Context //nolint:containedctx // it is one

	turn turn
}

// Value implements context.Context.
func (w *waiting) Value(key any) any {
	if _, ok := key.(turnKey); ok {
		return w
	}
	return w.Context.Value(key)
}

// connecting says that a connection is made on behalf of ctx; whoever calls it calls done afterwards.
func connecting(ctx context.Context) (done func()) {
	w, ok := ctx.Value(turnKey{}).(*waiting)
	if !ok {
		return func() {}
	}
	w.turn.hold()
	return w.turn.release
}
