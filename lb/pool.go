package lb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolConfig configures a Pool.
type PoolConfig struct {
	// Name tells pools apart in the log.
	Name string
	// Targets are the upstreams, none twice; at least one unless Discovery finds them.
	Targets []Target
	// Discovery finds the upstreams, which then change while the pool runs. Nil: they are Targets.
	Discovery *Discovery
	// Policy spreads requests over the upstreams that are up. Nil means RoundRobin.
	Policy Policy
	// Health says how upstreams are checked; its zero value is sensible.
	Health Health
	// Outlier says when an upstream that passes its health checks but fails requests is left alone for a while; its zero value: never.
	Outlier Outlier
	// Breaker says when an upstream gets no requests because too many fail; nil: never.
	Breaker *Breaker
	// SlowStart is how long an upstream that comes back takes to get its whole share: from nothing, more and more. Meanwhile Consistent
	// sends some of its keys elsewhere. 0: it gets it at once.
	SlowStart time.Duration
	// Metrics counts what the upstreams do. Nil: nobody does.
	Metrics *Metrics
	// Logger gets one line whenever an upstream goes down or comes back. Nil discards them.
	Logger *slog.Logger
	// Now is the clock of Status. Nil means time.Now.
	Now func() time.Time
}

// Pool is a set of upstreams that serve the same requests. It is safe for concurrent use.
//
// An upstream counts as up from the start. It goes down when Health.Fall checks in a row fail, or at
// once when a request cannot connect to it; Health.Rise passed checks in a row bring it back. A
// connection that breaks later does not take it down: one request that makes an upstream hang up must
// not cost it all the others, and if the upstream is really gone the next connection tells. One that fails request after
// request is what Outlier is for.
//
// An upstream that is down is not forgotten: when no other is left to try, it is tried all the same.
// So checks that fail for a reason of their own cannot make a working service unreachable, and the
// price of being wrong is one refused connection.
type Pool struct {
	cfg     PoolConfig
	retries prometheus.Counter // nil if nobody counts

	mu       sync.Mutex // guards what follows and the state of the upstreams
	members  []*Upstream
	leaving  []*Upstream // no members any more, but with requests in flight
	lookedUp lookedUp

	slow atomic.Int64 // until when upstreams that came back do not get their whole share, in nanoseconds since 1970
	// In the order of members; replaced, never changed.
	all atomic.Pointer[[]*Upstream] // those that are not drained
	up  atomic.Pointer[[]*Upstream] // of these, those that are up, not ejected, and their breakers not open
}

// NewPool returns a pool whose upstreams are not checked, nor found by Discovery, before Run is called. It does no I/O.
func NewPool(cfg PoolConfig) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", cfg.Name, err)
	}
	p := &Pool{cfg: cfg}
	for _, t := range cfg.Targets {
		u, err := newUpstream(t, cfg.Health.Path, cfg.Now())
		if err != nil {
			return nil, fmt.Errorf("pool %s: %w", cfg.Name, err)
		}
		if find(p.members, u.address) != nil {
			return nil, fmt.Errorf("pool %s: upstream %s is named twice", cfg.Name, u.Address())
		}
		p.members = append(p.members, u)
	}
	p.retries = cfg.Metrics.pool(cfg.Name)
	for _, u := range p.members {
		p.equip(u)
	}
	p.publish()
	return p, nil
}

// equip gives u what belongs to the pool.
func (p *Pool) equip(u *Upstream) {
	u.metrics = p.cfg.Metrics.upstream(p.cfg.Name, u.address)
	u.breaker = p.newBreaker(u)
}

func (cfg PoolConfig) withDefaults() (PoolConfig, error) {
	if len(cfg.Targets) == 0 && cfg.Discovery == nil {
		return cfg, errors.New("no upstreams")
	}
	if cfg.Policy == nil {
		cfg.Policy = new(RoundRobin)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.SlowStart < 0 {
		return cfg, errors.New("slow start must not be negative")
	}
	var err error
	if cfg.Discovery != nil {
		if len(cfg.Targets) > 0 {
			return cfg, errors.New("upstreams are either named or found, not both")
		}
		if cfg.Discovery, err = cfg.Discovery.withDefaults(); err != nil {
			return cfg, err
		}
	}
	if cfg.Health, err = cfg.Health.withDefaults(); err != nil {
		return cfg, err
	}
	if cfg.Breaker != nil {
		with, err := cfg.Breaker.withDefaults()
		if err != nil {
			return cfg, fmt.Errorf("breaker: %w", err)
		}
		cfg.Breaker = &with
	}
	cfg.Outlier, err = cfg.Outlier.withDefaults()
	return cfg, err
}

// Upstreams returns the state of every upstream, in the order of PoolConfig.Targets, or of addresses if they are found by Discovery;
// those that leave come last.
func (p *Pool) Upstreams() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep()
	states := make([]Status, 0, len(p.members)+len(p.leaving))
	for _, u := range p.members {
		states = append(states, u.status())
	}
	for _, u := range p.leaving {
		s := u.status()
		s.Leaving = true
		states = append(states, s)
	}
	return states
}

// pick returns the upstream to try next: by policy among those that are up and not in tried, else
// among the rest, else nil.
func (p *Pool) pick(key string, tried []*Upstream) *Upstream {
	from := *p.up.Load()
	if len(tried) > 0 {
		from = without(from, tried)
	}
	if p.cfg.SlowStart > 0 {
		from = p.slowly(from)
	}
	if len(from) == 0 {
		from = without(*p.all.Load(), tried)
	}
	if len(from) == 0 {
		return nil
	}
	return p.cfg.Policy.Pick(key, from)
}

func without(all, tried []*Upstream) []*Upstream {
	left := make([]*Upstream, 0, len(all))
	for _, u := range all {
		if !slices.Contains(tried, u) {
			left = append(left, u)
		}
	}
	return left
}

// unreachable takes u down because a request could not connect to it.
func (p *Pool) unreachable(ctx context.Context, u *Upstream, cause error) {
	p.mu.Lock()
	u.passes = 0
	u.lastErr, u.errAt = cause, p.cfg.Now()
	changed := p.set(u, false)
	p.mu.Unlock()
	if changed {
		p.cfg.Logger.WarnContext(ctx, "upstream down", "pool", p.cfg.Name, "upstream", u.Address(), "cause", "connect", "err", cause)
	}
}

// checked counts the result of one health check.
func (p *Pool) checked(ctx context.Context, u *Upstream, result error) {
	p.mu.Lock()
	var changed bool
	if result == nil {
		u.passes, u.fails = u.passes+1, 0
		changed = u.passes >= p.cfg.Health.Rise && p.set(u, true)
	} else {
		u.passes, u.fails = 0, u.fails+1
		u.lastErr, u.errAt = result, p.cfg.Now()
		changed = u.fails >= p.cfg.Health.Fall && p.set(u, false)
	}
	p.mu.Unlock()
	switch {
	case changed && result == nil:
		p.cfg.Logger.InfoContext(ctx, "upstream up", "pool", p.cfg.Name, "upstream", u.Address())
	case changed:
		p.cfg.Logger.WarnContext(ctx, "upstream down", "pool", p.cfg.Name, "upstream", u.Address(), "cause", "health check", "err", result)
	}
}

// set records the state of u and reports whether that is a change. The caller holds mu.
func (p *Pool) set(u *Upstream, up bool) bool {
	if u.up == up {
		return false
	}
	u.up, u.since = up, p.cfg.Now()
	if up {
		p.startSlowly(u)
	}
	p.publish()
	return true
}

// publish says which upstreams are to be picked from. The caller holds mu.
func (p *Pool) publish() {
	var all, up []*Upstream
	for _, u := range p.members {
		if u.drained {
			continue
		}
		all = append(all, u)
		if u.up && !u.ejected && !u.open {
			up = append(up, u)
		}
	}
	p.all.Store(&all)
	p.up.Store(&up)
}

func find(all []*Upstream, address string) *Upstream {
	for _, u := range all {
		if u.address == address {
			return u
		}
	}
	return nil
}
