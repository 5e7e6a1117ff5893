package testbed

import (
	"testing"

	"github.com/countersign/countersign/internal/netfault"
)

// Proxy is a fault proxy whose failures are the test's: its methods are those of [netfault.Proxy], safe for concurrent use but for
// those that end the test on a failure ([Proxy.Pass] and [Proxy.Refuse]).
type Proxy struct {
	*netfault.Proxy

	tb testing.TB
}

// Direction is one of the two ways through a [Proxy].
type Direction = netfault.Direction

// The two directions.
const (
	ToTarget = netfault.ToTarget // what the client sends
	ToClient = netfault.ToClient // what the target answers
)

// StartProxy returns a proxy for target (host:port) that passes everything. It is closed when the test ends.
func StartProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	listener, err := netfault.Listen()
	if err != nil {
		tb.Fatalf("proxy: %v", err)
	}
	p := &Proxy{Proxy: netfault.Start(listener, target), tb: tb}
	tb.Cleanup(p.Close)
	return p
}

// Pass lifts all faults, see [netfault.Proxy.Pass].
func (p *Proxy) Pass() {
	p.tb.Helper()
	if err := p.Proxy.Pass(); err != nil {
		p.tb.Fatalf("proxy: %v", err)
	}
}

// Refuse resets all connections and refuses new ones, as a host does on which nothing listens.
func (p *Proxy) Refuse() {
	p.tb.Helper()
	if err := p.Proxy.Refuse(); err != nil {
		p.tb.Fatalf("proxy: %v", err)
	}
}

// Close breaks all connections and returns when every goroutine of the proxy has ended. Closing
// again does nothing.
func (p *Proxy) Close() {
	if err := p.Proxy.Close(); err != nil {
		p.tb.Errorf("proxy: %v", err)
	}
}
