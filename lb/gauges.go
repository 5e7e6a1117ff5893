package lb

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges shows the state of the pools that run, read when it is asked for, so that it costs requests nothing.
type gauges struct {
	metrics  *Metrics
	up       *prometheus.Desc
	inFlight *prometheus.Desc
	open     *prometheus.Desc
}

func newGauges(m *Metrics) *gauges {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("countersign_lb_"+name, help, []string{"pool", "upstream"}, nil)
	}
	return &gauges{
		metrics:  m,
		up:       desc("upstream_up", "1 if the upstream gets requests: it is healthy, not ejected, not drained, and its breaker not open."),
		open:     desc("breaker_open", "1 if the breaker of the upstream is open; without a breaker there is no such figure."),
		inFlight: desc("in_flight", "Requests whose answer is not complete."),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.up, g.inFlight, g.open} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(metrics chan<- prometheus.Metric) {
	g.metrics.mu.Lock()
	pools := slices.Clone(g.metrics.pools)
	g.metrics.mu.Unlock()
	seen := map[series]bool{} // a pool and the one that it replaces may run at once for a moment
	for _, p := range slices.Backward(pools) {
		for _, u := range p.Upstreams() {
			s := series{p.cfg.Name, u.Address}
			if seen[s] {
				continue
			}
			seen[s] = true
			show := func(desc *prometheus.Desc, value float64) {
				metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, s.pool, s.upstream)
			}
			show(g.up, number(u.Healthy && !u.Ejected && !u.Drained && !u.Leaving && u.Breaker != breakerOpen))
			show(g.inFlight, float64(u.InFlight))
			if u.Breaker != "" {
				show(g.open, number(u.Breaker == breakerOpen))
			}
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// show adds p to the gauges until hide is called. m may be nil.
func (m *Metrics) show(p *Pool) (hide func()) {
	if m == nil {
		return func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pools = append(m.pools, p)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if i := slices.Index(m.pools, p); i >= 0 {
			m.pools = slices.Delete(m.pools, i, i+1)
		}
	}
}
