package lb

import "sync/atomic"

// RoundRobin is the Policy that takes upstreams in turn. Any number of goroutines together get an
// even share, because they draw on one counter. The zero value is ready; it must not be copied.
type RoundRobin struct {
	turn atomic.Uint64
}

// Pick returns the next of from in turn; the key does not matter.
func (p *RoundRobin) Pick(_ string, from []*Upstream) *Upstream {
	return from[(p.turn.Add(1)-1)%uint64(len(from))]
}
