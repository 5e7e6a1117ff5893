package lb

import (
	"context"
	"errors"
	"time"
)

// Outlier says when an upstream is ejected: it passes its health checks, but requests to it fail. Zero fields but Failures take the default
// given with them.
type Outlier struct {
	// Failures is how many requests in a row must fail: they are answered with a status of 500 or above, or break off, or take too
	// long. 0: upstreams are never ejected.
	Failures int
	// For is how long an upstream is left alone the first time; each further time it is twice as long. Default 10 s.
	For time.Duration
	// Longest bounds that, and is for how long an upstream must be good until it is as if it had never failed. Default 5 min.
	Longest time.Duration
	// MostPercent is the share of a pool's upstreams that may be ejected at once, 1 to 100: where all fail it is not the upstreams that
	// are at fault. Default 50.
	MostPercent int
}

func (o Outlier) withDefaults() (Outlier, error) {
	const all = 100
	if o.Failures < 0 || o.For < 0 || o.Longest < 0 || o.MostPercent < 0 || o.MostPercent > all {
		return o, errors.New("outlier: failures and times must not be negative, the share is 1 to 100 percent")
	}
	if o.For == 0 {
		o.For = 10 * time.Second
	}
	if o.Longest == 0 {
		o.Longest = 5 * time.Minute
	}
	o.Longest = max(o.Longest, o.For)
	if o.MostPercent == 0 {
		o.MostPercent = 50
	}
	return o, nil
}

// answered counts how a request to u went, but for the breaker. What costs nothing as long as all goes well takes no lock.
func (p *Pool) answered(ctx context.Context, u *Upstream, well bool) {
	switch {
	case p.cfg.Outlier.Failures == 0:
	case !well:
		if u.failures.Add(1) >= int64(p.cfg.Outlier.Failures) {
			p.eject(ctx, u)
		}
	case u.failures.Load() != 0:
		u.failures.Store(0)
	}
}

// eject leaves u alone for a while, if that leaves enough others.
func (p *Pool) eject(ctx context.Context, u *Upstream) {
	o := p.cfg.Outlier
	p.mu.Lock()
	defer p.mu.Unlock()
	out := 1
	for _, other := range p.members {
		if other.ejected {
			out++
		}
	}
	if u.ejected || out*100 > o.MostPercent*len(p.members) {
		return
	}
	now := p.cfg.Now()
	if now.Sub(u.readmitted) > o.Longest {
		u.ejections = 0
	}
	pause := o.Longest
	if doubled := o.For << min(u.ejections, 32); doubled > 0 {
		pause = min(doubled, o.Longest)
	}
	u.ejections++
	u.ejected = true
	if u.metrics != nil {
		u.metrics.ejections.Inc()
	}
	p.publish()
	p.cfg.Logger.WarnContext(ctx, "upstream ejected", "pool", p.cfg.Name, "upstream", u.Address(), "failures", u.failures.Load(), "for", pause)
	time.AfterFunc(pause, func() { p.readmit(u) })
}

func (p *Pool) readmit(u *Upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u.ejected, u.readmitted = false, p.cfg.Now()
	u.failures.Store(0)
	p.startSlowly(u)
	p.publish()
	p.cfg.Logger.Info("upstream readmitted", "pool", p.cfg.Name, "upstream", u.Address())
}
