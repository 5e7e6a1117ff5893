// Package netfault forwards TCP connections over a network that can be broken while it runs: between the parts of a running system
// that is drilled, and between tests and their servers.
package netfault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy forwards TCP connections to a target over a network that can be broken while it runs. Its methods are safe for concurrent
// use. Faults of different kinds add up; Pass lifts them all.
type Proxy struct {
	target string
	addr   string
	net    network
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	closed   bool
	failed   error // why connections are no longer accepted
	links    map[*link]struct{}
}

// Start returns a proxy for target (host:port) that passes everything. It takes its clients from listener, such as one of [Listen], and closes it.
func Start(listener net.Listener, target string) *Proxy {
	p := &Proxy{
		target: target, addr: listener.Addr().String(),
		net: network{changed: make(chan struct{})}, links: map[*link]struct{}{},
	}
	p.serve(listener)
	return p
}

// Addr returns the host and port at which clients reach the target.
func (p *Proxy) Addr() string { return p.addr }

// Target returns the host and port to which connections are forwarded.
func (p *Proxy) Target() string { return p.target }

// Pass lifts all faults. Bytes still delayed arrive at once. Connections that lost bytes stay
// dead, without a word to either end until the other one closes, as after a firewall forgot them.
func (p *Proxy) Pass() error {
	p.net.set(func(paths *[2]path) { *paths = [2]path{} })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	listener, err := listen(p.addr)
	if err != nil {
		return fmt.Errorf("accept connections again: %w", err)
	}
	p.serve(listener)
	return nil
}

// serve is called with p.mu held, or before anybody else knows p.
func (p *Proxy) serve(listener net.Listener) {
	p.listener = listener
	p.wg.Go(func() { p.accept(listener) })
}

// Refuse resets all connections and refuses new ones, as a host does on which nothing listens.
func (p *Proxy) Refuse() error {
	if err := p.shut(false); err != nil {
		return err
	}
	p.Reset()
	return nil
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

// Hang holds every byte until Pass, as a target does that was stopped: nothing is lost, and all of it arrives in the end.
func (p *Proxy) Hang() {
	const forGood = 1000 * time.Hour
	p.Delay(forGood, forGood)
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

// Close breaks all connections and returns when every goroutine of the proxy has ended. It returns why the proxy stopped working
// before, if it did. Closing again does nothing more.
func (p *Proxy) Close() error {
	err := p.shut(true)
	p.Reset()
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(err, p.failed)
}

// shut closes the listener.
func (p *Proxy) shut(forGood bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = p.closed || forGood
	if p.listener == nil {
		return nil
	}
	err := CloseNow(p.listener)
	p.listener = nil
	if err != nil {
		return fmt.Errorf("close the listener: %w", err)
	}
	return nil
}

// accept serves the connections of one listener until that is closed.
func (p *Proxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.mu.Lock()
			p.failed = fmt.Errorf("accept a connection: %w", err)
			p.mu.Unlock()
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
