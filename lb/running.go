package lb

import (
	"context"
	"net/url"
	"time"
)

// running is one pool of Pools with what it was made from. What changes is guarded by the mutex of Pools.
type running struct {
	identity  identity
	pool      *Pool
	transport *Transport

	halt func() // ends the checks, or the wait for the end of requests; nil before the first start
}

// identity is what makes two pools the same.
type identity struct {
	settings PoolSettings
	ca       string // the content of the file, so that other authorities in the same file make another pool
}

// start begins the checks. The caller holds mu.
func (p *Pools) start(r *running) {
	ctx, halt := context.WithCancel(context.Background())
	r.halt = halt
	p.tasks.Go(func() { r.pool.Run(ctx) })
}

// retire ends the checks and closes the connections once no request is in flight. The caller holds mu.
func (p *Pools) retire(r *running) {
	r.halt()
	ctx, halt := context.WithCancel(context.Background())
	r.halt = halt
	p.retired[r] = true
	p.tasks.Go(func() {
		if r.pool.idle(ctx, p.stopped) {
			p.forget(r)
		}
		r.transport.CloseIdleConnections()
	})
}

// forget says that nothing is left of r, unless it has been revived meanwhile.
func (p *Pools) forget(r *running) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired[r] {
		delete(p.retired, r)
		r.pool.forget()
	}
}

// revive takes retire back. The caller holds mu.
func (p *Pools) revive(r *running) {
	r.halt()
	delete(p.retired, r)
	p.start(r)
}

// adopt takes over what old knows of upstreams at the same addresses: those that are down need not be found out by requests again, and
// those that an operator has drained stay so.
func (p *Pool) adopt(old *Pool) {
	known := old.conditions()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.members {
		k, ok := known[u.address]
		switch {
		case !ok:
		case p.cfg.Health.Disabled || *u.health != k.health: // what was down may be so by the check alone
			u.drained = k.drained
		default:
			u.condition = k.condition
		}
	}
	p.publish()
}

// checkedCondition is a condition with the check that found it out.
type checkedCondition struct {
	condition

	health url.URL
}

func (p *Pool) conditions() map[string]checkedCondition {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := make(map[string]checkedCondition, len(p.members))
	for _, u := range p.members {
		known[u.address] = checkedCondition{u.condition, *u.health}
	}
	return known
}

// idle waits until no request has been in flight for a moment, and reports whether that came before ctx or stopped.
func (p *Pool) idle(ctx context.Context, stopped <-chan struct{}) bool {
	const (
		look   = 100 * time.Millisecond
		enough = 10 // looks; who has just taken the pool from the old configuration has not sent its request yet
	)
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for quiet := 0; quiet < enough; quiet++ {
		select {
		case <-ctx.Done():
			return false
		case <-stopped:
			return false
		case <-ticker.C:
		}
		if p.inFlight() > 0 {
			quiet = 0
		}
	}
	return true
}

func (p *Pool) inFlight() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, all := range [][]*Upstream{p.members, p.leaving} {
		for _, u := range all {
			n += u.InFlight()
		}
	}
	return n
}

func (r *running) status() PoolStatus {
	s := PoolStatus{
		Name: r.pool.cfg.Name, Policy: r.identity.settings.Policy, Protocol: r.identity.settings.Protocol, Upstreams: r.pool.Upstreams(),
	}
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	s.LookedUpAt = r.pool.lookedUp.at
	if err := r.pool.lookedUp.err; err != nil {
		s.LookUpError = err.Error()
	}
	return s
}
