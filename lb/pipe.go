package lb

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// pipe passes on what two connections send each other. Nobody looks at the clock for each message, and at times the kernel passes them on without
// showing them: each direction works in rounds that end by a deadline for its reads, and learns then whether there was anything.
type pipe struct {
	ends   [2]net.Conn
	idle   time.Duration
	chunks *chunks

	mu    sync.Mutex
	last  time.Time // when a round with any bytes ended
	asked [2]bool   // the other direction was idle for its time, and wants to know of this one now
	ended [2]bool   // by the end of what there is to read
}

// run returns when both directions have ended; then both connections are closed.
func (p *pipe) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, p.cut)
	defer stop()
	defer p.cut()
	p.last = time.Now()
	var other sync.WaitGroup
	other.Go(func() { p.pass(0) })
	p.pass(1)
	other.Wait()
}

// cut ends both directions at once.
func (p *pipe) cut() {
	for _, end := range p.ends {
		_ = end.Close() // nobody is left to be told
	}
}

// pass takes what end from sends to the other end.
func (p *pipe) pass(from int) {
	source, sink := p.ends[from], p.ends[1-from]
	for {
		began := p.begin(from)
		n, err := p.chunks.relay(sink, source)
		if err == nil {
			p.finish(from)
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !p.goOn(from, n, began) {
			p.cut()
			return
		}
	}
}

// begin begins a round. Who is asked already gets no time.
func (p *pipe) begin(from int) (began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	began = time.Now()
	until := began.Add(p.idle)
	if p.asked[from] {
		until = began
	}
	_ = p.ends[from].SetReadDeadline(until)                    // reading a closed connection tells
	_ = p.ends[1-from].SetWriteDeadline(began.Add(2 * p.idle)) // a round that lasts longer hangs in a write
	return began
}

// goOn reports whether another round follows one that took n bytes.
func (p *pipe) goOn(from int, n int64, began time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, other := time.Now(), 1-from
	if now.Sub(began) >= 2*p.idle {
		return false
	}
	if n > 0 {
		p.last = now
	}
	asked := p.asked[from]
	p.asked[from] = false
	if now.Sub(p.last) < p.idle {
		return true
	}
	if asked || p.ended[other] {
		return false
	}
	p.asked[other] = true
	_ = p.ends[other].SetReadDeadline(now) // reading a closed connection tells
	return true
}

// finish passes on that nothing more comes from there.
func (p *pipe) finish(from int) {
	p.mu.Lock()
	p.ended[from] = true
	p.mu.Unlock()
	if half, ok := p.ends[1-from].(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // if it has gone, its own direction ends
	} else {
		p.cut()
	}
}
