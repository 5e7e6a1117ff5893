package lb

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolsConfig configures Pools. Its zero value is sensible.
type PoolsConfig struct {
	// Logger gets a line whenever an upstream goes down, comes back, joins or leaves. Nil discards them.
	Logger *slog.Logger
	// Registerer exports the figures of the pools. Nil: nobody does.
	Registerer prometheus.Registerer
	// Lookup asks for the addresses of a name. Nil means the host's resolver.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// Pools are the pools of a configuration, by name, as the configuration changes. Its methods are safe for concurrent use, but only one
// change may be under way at a time, from Prepare to Commit, Revert or Discard.
type Pools struct {
	cfg     PoolsConfig
	metrics *Metrics

	mu      sync.Mutex
	closed  bool
	current map[string]*running
	retired map[*running]bool

	stopped chan struct{}
	tasks   sync.WaitGroup // checks, and waits for the end of requests
}

// NewPools returns Pools that has none yet. It does no I/O.
func NewPools(cfg PoolsConfig) *Pools {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Pools{
		cfg: cfg, metrics: NewMetrics(cfg.Registerer),
		current: map[string]*running{}, retired: map[*running]bool{}, stopped: make(chan struct{}),
	}
}

// Close ends all checks, closes idle connections and waits for that. Requests in flight are not touched.
func (p *Pools) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stopped)
		for _, r := range p.current {
			r.halt()
		}
	}
	p.mu.Unlock()
	p.tasks.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.current {
		r.transport.CloseIdleConnections()
	}
	for r := range p.retired {
		r.transport.CloseIdleConnections()
	}
}

// PoolStatus is what is known of a pool at one moment.
type PoolStatus struct {
	Name     string `json:"name"`
	Policy   string `json:"policy"`
	Protocol string `json:"protocol"`
	// Retired says that the configuration has another pool of this name, or none; requests in flight are finished.
	Retired bool `json:"retired"`
	// LookUpError is why the latest look-up of upstreams failed, empty if it did not.
	LookUpError string    `json:"look_up_error,omitempty"`
	LookedUpAt  time.Time `json:"looked_up_at,omitzero"`
	Upstreams   []Status  `json:"upstreams"`
}

// Status returns the state of all pools in the order of their names, those that are retired last.
func (p *Pools) Status() []PoolStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]PoolStatus, 0, len(p.current)+len(p.retired))
	for _, name := range slices.Sorted(maps.Keys(p.current)) {
		all = append(all, p.current[name].status())
	}
	first := len(all)
	for r := range p.retired {
		s := r.status()
		s.Retired = true
		all = append(all, s)
	}
	slices.SortFunc(all[first:], func(a, b PoolStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
