package lb

import (
	"slices"
	"sync/atomic"
)

// Failover is the Policy that sends everything to one upstream: the first of PoolConfig.Targets, until it is down, or a request
// is tried elsewhere because it failed or is busy; then the first one that is up, which keeps it even when the one before comes back. It is for upstreams of which one should do the work, such as
// the nodes of a database that all take writes but had better get them at one. The zero value is ready; it must not be copied.
type Failover struct {
	current atomic.Pointer[Upstream]
}

// Pick returns the upstream that was picked last, if it is among from, else the first of from; the key does not matter.
func (p *Failover) Pick(_ string, from []*Upstream) *Upstream {
	if u := p.current.Load(); u != nil && slices.Contains(from, u) {
		return u
	}
	p.current.Store(from[0])
	return from[0]
}
