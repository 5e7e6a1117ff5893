package testbed

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy forwards TCP connections to a target over a network that can be broken while it runs. Its
// methods are safe for concurrent use, but for those that end the test on a failure ([Proxy.Pass]
// and [Proxy.Refuse]). Faults of different kinds add up; Pass lifts them all.
type Proxy struct {
	tb     testing.TB
	target string
	addr   string
	net    network
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	closed   bool
	links    map[*link]struct{}
}

// StartProxy returns a proxy for target (host:port) that passes everything. It is closed when the test ends.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, port, err := listenSomewhere()
	if err != nil {
		tb.Fatalf("proxy: %v", err)
	}
	p := &Proxy{
		tb: tb, target: target, addr: loopback(port),
		net: network{changed: make(chan struct{})}, links: map[*link]struct{}{},
	}
	tb.Cleanup(p.Close)
	p.serve(listener)
	return p
}

// Addr returns the host and port at which clients reach the target.
func (p *Proxy) Addr() string { return p.addr }

// Pass lifts all faults. Bytes still delayed arrive at once. Connections that lost bytes stay
// dead, without a word to either end until the other one closes, as after a firewall forgot them.
func (p *Proxy) Pass() {
	p.tb.Helper()
	p.net.set(func(paths *[2]path) { *paths = [2]path{} })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return
	}
	listener, err := listen(p.addr)
	if err != nil {
		p.tb.Fatalf("proxy: %v", err)
	}
	p.serve(listener)
}

// serve is called with p.mu held, or before anybody else knows p.
func (p *Proxy) serve(listener net.Listener) {
	p.listener = listener
	p.wg.Go(func() { p.accept(listener) })
}

// Refuse resets all connections and refuses new ones, as a host does on which nothing listens.
func (p *Proxy) Refuse() {
	p.tb.Helper()
	if err := p.shut(false); err != nil {
		p.tb.Fatalf("proxy: %v", err)
	}
	p.Reset()
}

// BlackHole loses every byte in both directions: connections are accepted and never answered, and
// those that exist hang. The target does not see connections made meanwhile.
func (p *Proxy) BlackHole() {
	p.net.set(func(paths *[2]path) { paths[ToTarget].drop, paths[ToClient].drop = true, true })
}

// HalfOpen loses every byte in direction d only.
func (p *Proxy) HalfOpen(d Direction) {
	p.net.set(func(paths *[2]path) { paths[d].drop = true })
}

// Delay holds every byte for that long in each direction, whatever the amount in flight.
func (p *Proxy) Delay(toTarget, toClient time.Duration) {
	p.net.set(func(paths *[2]path) { paths[ToTarget].delay, paths[ToClient].delay = toTarget, toClient })
}

// Throttle lets at most bytesPerSecond through per connection and direction; 0 takes the limit away.
func (p *Proxy) Throttle(bytesPerSecond int) {
	p.net.set(func(paths *[2]path) { paths[ToTarget].rate, paths[ToClient].rate = bytesPerSecond, bytesPerSecond })
}

// Reset breaks all existing connections at once (RST to both ends). New ones are not affected.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Connections returns how many client connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close breaks all connections and returns when every goroutine of the proxy has ended. Closing
// again does nothing.
func (p *Proxy) Close() {
	if err := p.shut(true); err != nil {
		p.tb.Errorf("proxy: %v", err)
	}
	p.Reset()
	p.wg.Wait()
}

// shut closes the listener.
func (p *Proxy) shut(forGood bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = p.closed || forGood
	if p.listener == nil {
		return nil
	}
	err := closeNow(p.listener)
	p.listener = nil
	return err
}

// accept serves the connections of one listener until that is closed.
func (p *Proxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.tb.Errorf("proxy: %v", err)
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		l := &link{network: &p.net, client: conn, cancel: cancel}
		if !p.add(listener, l) {
			l.reset()
			continue
		}
		p.wg.Go(func() {
			defer p.remove(l)
			l.run(ctx, p.target)
		})
	}
}

// add reports whether the listener that accepted l is still open; if not, l came too late to be
// among those that were reset.
func (p *Proxy) add(listener net.Listener, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != listener {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}
