package listeners

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener is one open socket. What is served on it is a generation: connections that came before an important change stay with theirs.
type listener struct {
	socket net.Listener
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	spec    Spec
	current *generation
	old     map[*generation]struct{} // those that still have connections

	most     atomic.Int64  // connections; 0: any number
	freed    chan struct{} // holds a value when there may be room again
	open     atomic.Int64
	idle     atomic.Int64
	accepted atomic.Uint64

	draining  atomic.Bool
	closing   chan struct{}
	closeOnce sync.Once
	accepting sync.WaitGroup
	running   sync.WaitGroup // generations
}

func listen(socket net.Listener, p prepared, log *slog.Logger) *listener {
	l := &listener{
		socket: socket, log: log, old: map[*generation]struct{}{},
		freed: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	l.change(p)
	l.accepting.Go(l.accept)
	log.Info("listening", "listener", p.spec.Name, "address", socket.Addr().String())
	return l
}

// change makes the listener what p says, for requests that begin from now on.
func (l *listener) change(p prepared) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spec = p.spec
	l.most.Store(int64(p.spec.MaxConnections))
	l.free()
	for g := range l.old {
		g.serveBy(p.spec)
	}
	if l.current != nil && l.current.shape == shapeOf(p.spec) {
		l.current.serveBy(p.spec)
		return
	}
	if last := l.current; last != nil {
		last.serveBy(p.spec)
		l.old[last] = struct{}{}
		last.retire()
	}
	l.current = newGeneration(l, p)
	l.running.Go(l.current.run)
}

func (l *listener) name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spec.Name
}

// accept takes connections until the socket is closed.
func (l *listener) accept() {
	const least, longest = 5 * time.Millisecond, time.Second
	pause := least
	for l.waitForRoom() {
		raw, err := l.socket.Accept()
		switch {
		case err == nil:
			pause = least
			l.accepted.Add(1)
			l.take(raw)
		case errors.Is(err, net.ErrClosed):
			return
		default: // too few file descriptors, most likely: others will be given back
			l.log.Error("accept connection", "listener", l.name(), "error", err)
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-l.closing:
				timer.Stop()
				return
			}
			pause = min(2*pause, longest)
		}
	}
}

// waitForRoom reports whether the next connection may be accepted; it waits until it may, and is false once the listener closes.
func (l *listener) waitForRoom() bool {
	for l.full() {
		select {
		case <-l.freed:
		case <-l.closing:
			return false
		}
	}
	return true
}

// full reports whether there are as many connections as there may be.
func (l *listener) full() bool {
	most := l.most.Load()
	return most > 0 && l.open.Load() >= most
}

func (l *listener) free() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// take hands a connection to the current generation. Counted under the lock, it keeps a generation from ending that is retired meanwhile.
func (l *listener) take(raw net.Conn) {
	l.open.Add(1)
	l.mu.Lock()
	serve := l.current.admit(raw)
	l.mu.Unlock()
	serve()
}

// left says that a connection has ended.
func (l *listener) left() {
	l.open.Add(-1)
	if l.most.Load() > 0 {
		l.free()
	}
}

// forget drops a generation whose connections have all ended.
func (l *listener) forget(g *generation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.old, g)
}
