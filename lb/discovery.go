package lb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Discovery finds the upstreams of a pool by the addresses of a name. Those that appear join, with Pool's slow start; those that vanish get no new
// requests, and are gone when those in flight are finished. A look-up that fails, or finds nothing, changes nothing. As long as none has
// succeeded the pool is empty.
type Discovery struct {
	// Name is looked up. Required.
	Name string
	// Port is the one of every address. Required.
	Port uint16
	// Scheme is http or https. Default http.
	Scheme string
	// Refresh is from one look-up to the next. Default 10 s. As long as the pool is empty it is not more than 1 s.
	Refresh time.Duration
	// Lookup asks for the addresses of Name. Nil means the host's resolver.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
}

const (
	lookUpTimeout = 5 * time.Second
	impatient     = time.Second // between look-ups while the pool is empty
)

// lookedUp is how the latest look-up went.
type lookedUp struct {
	at  time.Time
	err error
}

func (d *Discovery) withDefaults() (*Discovery, error) {
	with := *d
	if with.Name == "" || with.Port == 0 || with.Refresh < 0 {
		return nil, errors.New("discovery: want a name, a port and a refresh that is not negative")
	}
	if with.Scheme == "" {
		with.Scheme = "http"
	}
	if with.Scheme != "http" && with.Scheme != "https" {
		return nil, fmt.Errorf("discovery: scheme %q: want http or https", with.Scheme)
	}
	if with.Refresh == 0 {
		with.Refresh = 10 * time.Second
	}
	if with.Lookup == nil {
		with.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	return &with, nil
}

// nextLookUp is how long it is until then.
func (p *Pool) nextLookUp() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lookedUp.at.IsZero() {
		return 0
	}
	interval := p.cfg.Discovery.Refresh
	if len(p.members) == 0 {
		interval = min(interval, impatient)
	}
	return max(0, interval-p.cfg.Now().Sub(p.lookedUp.at))
}

// lookUp asks who the members are.
func (p *Pool) lookUp(ctx context.Context) {
	d := p.cfg.Discovery
	limited, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	addresses, err := d.Lookup(limited, d.Name)
	if ctx.Err() != nil {
		return // what ended the look-up is not the resolver
	}
	if err == nil && len(addresses) == 0 {
		err = errors.New("no addresses")
	}
	if err != nil {
		err = fmt.Errorf("look up %s: %w", d.Name, err)
	}
	p.mu.Lock()
	before := p.lookedUp.err
	p.lookedUp = lookedUp{p.cfg.Now(), err}
	p.mu.Unlock()
	if err != nil {
		if before == nil || before.Error() != err.Error() {
			p.cfg.Logger.WarnContext(ctx, "upstreams not found, the last ones stay", "pool", p.cfg.Name, "err", err)
		}
		return
	}
	p.found(ctx, addresses)
}

// found makes those at the addresses the members.
func (p *Pool) found(ctx context.Context, addresses []netip.Addr) {
	addresses = slices.Clone(addresses)
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	p.mu.Lock()
	defer p.mu.Unlock()
	first := len(p.members) == 0
	var members []*Upstream
	for _, address := range slices.Compact(addresses) {
		base := p.cfg.Discovery.Scheme + "://" + net.JoinHostPort(address.String(), strconv.Itoa(int(p.cfg.Discovery.Port)))
		u := find(p.members, base)
		if u == nil {
			if u = p.join(ctx, base, first); u == nil {
				continue
			}
		}
		members = append(members, u)
	}
	for _, u := range p.members {
		if !slices.Contains(members, u) {
			p.cfg.Logger.InfoContext(ctx, "upstream leaves", "pool", p.cfg.Name, "upstream", u.Address())
			p.leaving = append(p.leaving, u)
		}
	}
	p.members = members
	p.sweep()
	p.publish()
}

// join returns the upstream at base, which is no member, and starts it slowly unless it is among the first. The caller holds mu.
func (p *Pool) join(ctx context.Context, base string, first bool) *Upstream {
	u := find(p.leaving, base)
	if u != nil {
		p.leaving = slices.DeleteFunc(p.leaving, func(o *Upstream) bool { return o == u })
	} else {
		var err error
		if u, err = newUpstream(Target{URL: base}, p.cfg.Health.Path, p.cfg.Now()); err != nil {
			p.cfg.Logger.WarnContext(ctx, "upstream not added", "pool", p.cfg.Name, "upstream", base, "err", err)
			return nil
		}
		p.equip(u)
	}
	if !first {
		p.startSlowly(u)
	}
	p.cfg.Logger.InfoContext(ctx, "upstream joins", "pool", p.cfg.Name, "upstream", u.Address())
	return u
}

// sweep forgets those that have left and have no requests in flight. The caller holds mu.
func (p *Pool) sweep() {
	p.leaving = slices.DeleteFunc(p.leaving, func(u *Upstream) bool {
		if u.InFlight() > 0 {
			return false
		}
		p.cfg.Metrics.drop(series{p.cfg.Name, u.address})
		return true
	})
}

// forget takes the figures of p away. Nobody sends requests to it any more.
func (p *Pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.Metrics.drop(series{pool: p.cfg.Name})
	for _, all := range [][]*Upstream{p.members, p.leaving} {
		for _, u := range all {
			p.cfg.Metrics.drop(series{p.cfg.Name, u.address})
		}
	}
}

// inherit makes the upstreams of old the members, if they were found by the same name.
func (p *Pool) inherit(ctx context.Context, old *Pool) {
	d, o := p.cfg.Discovery, old.cfg.Discovery
	if o == nil || o.Name != d.Name {
		return
	}
	var addresses []netip.Addr
	for _, u := range old.current() {
		if address, err := netip.ParseAddr(u.base.Hostname()); err == nil {
			addresses = append(addresses, address)
		}
	}
	if len(addresses) > 0 {
		p.found(ctx, addresses)
	}
}
