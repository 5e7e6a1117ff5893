package lb

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// patience ends an attempt whose answer does not begin in time. Unlike http.Transport.ResponseHeaderTimeout it may be another for
// each request of one connection. The zero value waits for ever.
type patience struct {
	limit time.Duration
	give  context.CancelCauseFunc // gives up; nil if there is no limit

	mu    sync.Mutex
	timer *time.Timer
	holds int // what has to end before time counts: a connection that is made, a body that is streamed
	over  bool
	late  error // why it was given up
}

// timeoutError is a net.Error.
type timeoutError struct{ limit time.Duration }

func (e *timeoutError) Error() string   { return fmt.Sprintf("no answer within %v", e.limit) }
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return true }

// begin starts to wait. Nobody else knows p yet.
func (p *patience) begin() {
	if p.give == nil {
		return
	}
	p.timer = time.AfterFunc(p.limit, p.expire)
	if p.holds > 0 {
		p.timer.Stop()
	}
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

// hold says that from now on time does not count.
func (p *patience) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds++
	p.timer.Stop()
}

// release ends one hold. After the last the whole time is there again.
func (p *patience) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds--; p.holds == 0 && !p.over {
		p.timer.Reset(p.limit)
	}
}

// end says that there is nothing to wait for any more, and returns an error if it comes too late.
func (p *patience) end() error {
	if p.give == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		p.timer.Stop()
	}
	return p.late
}

type patienceKey struct{}

// waiting is the context of an attempt. By it the dialer finds the attempt for which it connects.
type waiting struct {
	context.Context //nolint:containedctx // it is one

	patience *patience
}

// Value implements context.Context.
func (w *waiting) Value(key any) any {
	if _, ok := key.(patienceKey); ok {
		return w.patience
	}
	return w.Context.Value(key)
}

// connecting says that a connection is made on behalf of ctx; whoever calls it calls done afterwards.
func connecting(ctx context.Context) (done func()) {
	p, ok := ctx.Value(patienceKey{}).(*patience)
	if !ok {
		return func() {}
	}
	p.hold()
	return p.release
}
