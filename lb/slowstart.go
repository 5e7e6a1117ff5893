package lb

import "math/rand/v2"

// startSlowly notes that u came back. The caller holds mu.
func (p *Pool) startSlowly(u *Upstream) {
	now := p.cfg.Now().UnixNano()
	u.back.Store(now)
	p.slow.Store(now + int64(p.cfg.SlowStart))
}

// slowly returns from without those upstreams whose turn this is not yet: one that came back a third of SlowStart ago is left in every third
// time. If none is left it is all of from.
func (p *Pool) slowly(from []*Upstream) []*Upstream {
	end := p.slow.Load()
	if end == 0 {
		return from
	}
	now := p.cfg.Now().UnixNano()
	if now >= end {
		return from
	}
	left := make([]*Upstream, 0, len(from))
	for _, u := range from {
		// The least share is not nothing, else a clock that stands still would keep it out.
		const least = 0.01
		share := max(least, float64(now-u.back.Load())/float64(p.cfg.SlowStart))
		if rand.Float64() < share { //nolint:gosec // G404: spreads load, guards nothing
			left = append(left, u)
		}
	}
	if len(left) == 0 {
		return from
	}
	return left
}
