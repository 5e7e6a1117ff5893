package listeners

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/httpx"
)

// shape is what cannot be changed under a connection.
type shape struct {
	stream       bool
	tls          TLS
	limits       Limits
	drainTimeout time.Duration
}

func shapeOf(spec Spec) shape {
	return shape{stream: spec.Stream != nil, tls: spec.TLS, limits: spec.Limits, drainTimeout: spec.DrainTimeout}
}

// generation serves the connections that came while the listener had one shape. It is the net.Listener of its HTTP server.
type generation struct {
	l            *listener
	shape        shape
	certificates *httpx.Certificates
	spec         atomic.Pointer[Spec] // its handler or stream function
	began        time.Time
	incoming     chan net.Conn
	retired      atomic.Bool // others serve new connections

	shutting sync.Once
	shut     chan struct{} // closed: the HTTP server accepts no more
	stopping sync.Once
	stopped  chan struct{} // closed: no more connections, those that are there end
	since    time.Time     // of the stop
	failed   error         // of run, to be read after it
	streams  sync.WaitGroup

	mu      sync.Mutex
	conns   map[*conn]struct{}
	ended   bool          // emptied is closed
	emptied chan struct{} // closed when a generation that is retired or stopped has no connection any more
}

func newGeneration(l *listener, p prepared) *generation {
	g := &generation{
		l: l, shape: shapeOf(p.spec), certificates: p.certificates, began: time.Now(), incoming: make(chan net.Conn),
		shut: make(chan struct{}), stopped: make(chan struct{}), emptied: make(chan struct{}), conns: map[*conn]struct{}{},
	}
	g.spec.Store(&p.spec)
	return g
}

// serveBy takes over the handler or stream function of spec, if it is of the generation's kind.
func (g *generation) serveBy(spec Spec) {
	if g.shape.stream == (spec.Stream != nil) {
		g.spec.Store(&spec)
	}
}

// retire lets the generation end with its last connection. HTTP clients are told to come anew; idle ones time out.
func (g *generation) retire() {
	g.retired.Store(true)
	g.endIfEmpty()
}

// stop ends the generation: nothing new, and what is there within DrainTimeout.
func (g *generation) stop() {
	g.stopping.Do(func() {
		g.since = time.Now()
		close(g.stopped)
	})
}

func (g *generation) endIfEmpty() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.conns) == 0 && g.retired.Load() && !g.ended {
		g.ended = true
		close(g.emptied)
		g.stop()
	}
}

// run serves until stop, and then until every connection has ended or is cut off.
func (g *generation) run() {
	defer g.l.forget(g)
	if !g.shape.stream {
		g.failed = g.serveHTTP()
	}
	<-g.stopped
	g.retire() // from now on the last one that leaves closes emptied
	limit := time.NewTimer(time.Until(g.since.Add(g.shape.drainTimeout)))
	defer limit.Stop()
	select {
	case <-g.emptied:
	case <-limit.C:
		g.cutOff()
	}
	g.streams.Wait()
}

func (g *generation) serveHTTP() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		<-g.stopped
		cancel()
	})
	const none = -1 // reads and writes have limits that move on with them
	err := httpx.Serve(ctx, httpx.ServeConfig{
		Listener: g, Handler: g, Certificates: g.certificates, ClientCertificates: g.shape.tls.ClientCertificates, Log: g.l.log, ConnState: connState,
		ReadHeaderTimeout: g.shape.limits.Header, ReadTimeout: none, WriteTimeout: none, IdleTimeout: g.shape.limits.Idle,
		MaxHeaderBytes: g.shape.limits.MaxHeaderBytes, DrainTimeout: g.shape.drainTimeout,
	})
	g.stop() // if it failed by itself
	return err
}

// cutOff closes what is still open: streams and upgraded connections, which have no end of their own.
func (g *generation) cutOff() {
	g.mu.Lock()
	left := make([]*conn, 0, len(g.conns))
	for c := range g.conns {
		left = append(left, c)
	}
	g.mu.Unlock()
	g.l.log.Info("connections were cut off", "listener", g.l.name(), "connections", len(left))
	for _, c := range left {
		if c.cut != nil {
			c.cut()
		}
		_ = c.Close() // somebody else may have
	}
}

// admit counts a new connection and returns what has it served. Both are apart because the first needs the listener's lock.
func (g *generation) admit(raw net.Conn) (serve func()) {
	c := &conn{Conn: raw, generation: g, patience: g.shape.limits.Write}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = struct{}{}
	if !g.shape.stream {
		return func() { g.queue(c) }
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cut = cancel
	return func() {
		g.streams.Go(func() {
			defer func() { _ = c.Close() }() // somebody else may have
			defer cancel()
			g.spec.Load().Stream(ctx, raw) // the socket itself, so that the kernel can copy
		})
	}
}

// queue hands a connection to the HTTP server.
func (g *generation) queue(c *conn) {
	select {
	case g.incoming <- c:
	case <-g.shut:
		_ = c.Close() // it came too late
	}
}

// gone says that a connection was closed.
func (g *generation) gone(c *conn) {
	g.mu.Lock()
	delete(g.conns, c)
	g.mu.Unlock()
	g.l.left()
	g.endIfEmpty()
}

// Accept implements net.Listener for the HTTP server.
func (g *generation) Accept() (net.Conn, error) {
	select {
	case c := <-g.incoming:
		return c, nil
	case <-g.shut:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; the HTTP server calls it when it is stopped.
func (g *generation) Close() error {
	g.shutting.Do(func() { close(g.shut) })
	return nil
}

// Addr implements net.Listener.
func (g *generation) Addr() net.Addr { return g.l.socket.Addr() }

// ServeHTTP passes a request to the handler of the moment it began.
func (g *generation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	leave := g.retired.Load() || g.l.draining.Load() || g.l.full()
	if leave && r.Header["Upgrade"] == nil {
		w.Header().Set("Connection", "close") // HTTP/2 says GOAWAY
	}
	g.shape.limits.pace(g.spec.Load().Handler, w, r)
}
