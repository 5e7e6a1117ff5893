package lb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"
)

// PreparedPools are the pools of a new configuration, not in force yet.
type PreparedPools struct {
	// Transports reach the pools by name. They work already, but upstreams are not checked before Commit.
	Transports map[string]*Transport

	pools    *Pools
	next     map[string]*running
	previous map[string]*running // what Commit has replaced, for Revert
}

// Prepare makes the pools of a configuration: those that are there with equal settings are kept, with their connections and all that is known
// of their upstreams. It changes nothing. errorf makes an error of what is wrong with the member at a path, such as
// "pools.inventory.targets[0].url"; nil writes "path: what". The error joins all mistakes.
//
// Files are read, and upstreams that are found by a name are looked up, for 2 s at most: if that fails they are
// those of the pool that it replaces, or the pool begins empty.
func (p *Pools) Prepare(settings map[string]PoolSettings, errorf func(path, format string, args ...any) error) (*PreparedPools, error) {
	if errorf == nil {
		errorf = func(path, format string, args ...any) error { return fmt.Errorf(path+": "+format, args...) }
	}
	p.mu.Lock()
	current := maps.Clone(p.current)
	p.mu.Unlock()
	prepared := &PreparedPools{Transports: map[string]*Transport{}, pools: p, next: map[string]*running{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		wrong := func(path, format string, args ...any) {
			errs = append(errs, errorf("pools."+name+"."+path, format, args...))
		}
		if r := p.prepare(name, settings[name], current[name], wrong); r != nil {
			prepared.next[name], prepared.Transports[name] = r, r.transport
		}
	}
	if len(errs) > 0 {
		prepared.Discard()
		return nil, errors.Join(errs...)
	}
	prepared.lookUp(current)
	return prepared, nil
}

// prepare returns nil if it has told what is wrong.
func (p *Pools) prepare(name string, s PoolSettings, old *running, wrong func(path, format string, args ...any)) *running {
	good := true
	tell := func(path, format string, args ...any) {
		good = false
		wrong(path, format, args...)
	}
	s.check(tell)
	ca, err := s.readCA()
	if err != nil {
		tell("tls.ca", "%w", err)
	}
	same := identity{s, string(ca)}
	if good && old != nil && reflect.DeepEqual(old.identity, same) {
		return old
	}
	secured := s.tlsConfig(p.cfg, ca, tell)
	if !good {
		return nil
	}
	pool, err := NewPool(s.poolConfig(name, p.cfg, p.metrics, secured))
	if err != nil {
		tell("targets", "%w", err)
		return nil
	}
	transport, err := NewTransport(TransportConfig{
		Pool: pool, Overrides: s.overrides(), DialTimeout: s.Timeouts.Connect, IdleTimeout: s.Timeouts.Idle,
		TLS: secured, HTTP2: s.Protocol == protocolHTTP2, Now: p.cfg.Now,
	})
	if err != nil {
		pool.forget()
		tell("timeouts", "%w", err)
		return nil
	}
	return &running{identity: same, pool: pool, transport: transport}
}

// lookUp finds the upstreams of new pools, all at once.
func (n *PreparedPools) lookUp(current map[string]*running) {
	const moment = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	var looks sync.WaitGroup
	for name, r := range n.next {
		old := current[name]
		if r == old || r.pool.cfg.Discovery == nil {
			continue
		}
		looks.Go(func() {
			r.pool.lookUp(ctx)
			if old != nil && len(r.pool.current()) == 0 {
				r.pool.inherit(ctx, old.pool)
			}
		})
	}
	looks.Wait()
}

// Commit puts the pools into force: it begins to check those that are new, and ends the checks of those that are gone. Requests in flight at these are
// finished, then their connections are closed.
func (n *PreparedPools) Commit() {
	n.pools.mu.Lock()
	defer n.pools.mu.Unlock()
	n.previous = n.pools.current
	n.pools.put(n.next)
}

// Revert takes Commit back.
func (n *PreparedPools) Revert() {
	n.pools.mu.Lock()
	defer n.pools.mu.Unlock()
	if n.previous != nil {
		n.pools.put(n.previous)
		n.previous = nil
	}
}

// Discard says that the pools are not wanted, before Commit or after Revert.
func (n *PreparedPools) Discard() {
	n.pools.mu.Lock()
	defer n.pools.mu.Unlock()
	for name, r := range n.next {
		if n.pools.current[name] != r && r.halt == nil { // which else is retired, and ends by itself
			r.transport.CloseIdleConnections()
			r.pool.forget()
		}
	}
	n.next = nil
}

// put replaces the current pools. The caller holds mu.
func (p *Pools) put(next map[string]*running) {
	if p.closed {
		return
	}
	for name, r := range next {
		switch {
		case p.current[name] == r:
		case p.retired[r]:
			p.revive(r)
		default:
			if old := p.current[name]; old != nil {
				r.pool.adopt(old.pool)
			}
			p.start(r)
		}
	}
	for name, r := range p.current {
		if next[name] != r {
			p.retire(r)
		}
	}
	p.current = next
}
