package telemetry

import (
	"io"
	"sync"
	"time"
)

const (
	linesPause = 5 * time.Millisecond // between two writes
	linesMost  = 1 << 20              // bytes that wait; beyond that, whoever logs waits too
	linesSoon  = linesMost / 4        // bytes after which the next write comes sooner
)

// Lines passes lines on to a writer, many in one write: a process that logs every request would spend a tenth of its time on writes of
// one line each, and those who log would wait for each other. A line that comes after a pause is written at once, others at most 5 ms
// later, or by Flush; a process that is killed takes those with it. Any number of goroutines may use it.
type Lines struct {
	to      io.Writer
	wake    chan struct{} // holds a value when lines wait
	soon    chan struct{} // holds a value when many do
	closing chan struct{}
	ended   chan struct{}

	writing sync.Mutex // held by whoever takes lines until they are written, so that none overtakes another
	mu      sync.Mutex // guards what follows
	room    sync.Cond
	waiting []byte
	spare   []byte // the memory of the last write
	closed  bool
}

// NewLines returns one that passes on to w, of which it is the only user from now on. Close ends it.
func NewLines(w io.Writer) *Lines {
	l := &Lines{to: w, wake: make(chan struct{}, 1), soon: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{})}
	l.room.L = &l.mu
	go l.run()
	return l
}

// Write implements io.Writer. p is whole lines. That they could not be passed on, nobody is told: it is where one would be told.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) >= linesMost && !l.closed {
		l.room.Wait()
	}
	if l.closed {
		return l.to.Write(p) //nolint:wrapcheck // as if it were the writer itself
	}
	l.waiting = append(l.waiting, p...)
	tell(l.wake)
	if len(l.waiting) >= linesSoon {
		tell(l.soon)
	}
	return len(p), nil
}

// Close returns once everything was passed on. What is written afterwards goes to the writer directly.
func (l *Lines) Close() {
	close(l.closing)
	<-l.ended
}

func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *Lines) run() {
	defer close(l.ended)
	defer l.last()
	pause := time.NewTimer(linesPause)
	defer pause.Stop()
	for {
		select {
		case <-l.wake:
		case <-l.closing:
			return
		}
		l.pass()
		pause.Reset(linesPause)
		select {
		case <-pause.C:
		case <-l.soon:
		case <-l.closing:
			return
		}
	}
}

// Flush returns once everything that was written before was passed on.
func (l *Lines) Flush() { l.pass() }

// pass writes what waits.
func (l *Lines) pass() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	batch := l.waiting
	l.waiting, l.spare = l.spare[:0], nil
	l.room.Broadcast()
	l.mu.Unlock()
	if len(batch) > 0 {
		_, _ = l.to.Write(batch)
	}
	l.mu.Lock()
	l.spare = batch
	l.mu.Unlock()
}

// last lets nothing wait any more.
func (l *Lines) last() {
	l.pass()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if len(l.waiting) > 0 { // it came meanwhile
		_, _ = l.to.Write(l.waiting)
	}
	l.room.Broadcast()
}
