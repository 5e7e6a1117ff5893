package gateway

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the figures of a gateway's routes. They outlive a reload: what was counted stays counted.
type Metrics struct {
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	outcomes   *prometheus.CounterVec
	deciding   prometheus.Histogram
	mu         sync.Mutex
	routeCache map[string]*routeCounts
}

// NewMetrics registers the figures. It panics if they are registered already.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_gateway_requests_total",
			Help: "Requests by route and class of status; without a route: those that no route is for.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_gateway_request_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_gateway_decisions_total",
			Help: "Requests by route and what was decided: accepted, or why not.",
		}, []string{"route", "outcome"}),
		deciding: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_gateway_decision_seconds", Help: "Time that it took to decide whether a request is let in.",
			Buckets: []float64{0.000005, 0.00002, 0.0001, 0.0005, 0.002, 0.01, 0.05, 0.25, 1},
		}),
		routeCache: map[string]*routeCounts{},
	}
	registry.MustRegister(m.requests, m.seconds, m.outcomes, m.deciding)
	return m
}

// routeCounts are the figures of one route, found once.
type routeCounts struct {
	metrics  *Metrics
	name     string
	classes  [6]prometheus.Counter // by the first digit of the status
	seconds  prometheus.Observer
	accepted prometheus.Counter
}

// route returns the figures of a route; the empty name is for requests without one.
func (m *Metrics) route(name string) *routeCounts {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.routeCache[name]; c != nil {
		return c
	}
	c := &routeCounts{metrics: m, name: name, seconds: m.seconds.WithLabelValues(name), accepted: m.outcomes.WithLabelValues(name, "accepted")}
	c.classes[0] = m.requests.WithLabelValues(name, "none")
	for class := 1; class < len(c.classes); class++ {
		c.classes[class] = m.requests.WithLabelValues(name, strconv.Itoa(class)+"xx")
	}
	m.routeCache[name] = c
	return c
}

// keep forgets the routes that are not among these, so that those of former documents do not stay for ever.
func (m *Metrics) keep(routes []*route) {
	names := map[string]bool{"": true}
	for _, r := range routes {
		names[r.name] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.routeCache {
		if !names[name] {
			delete(m.routeCache, name)
			for _, vec := range []interface {
				DeletePartialMatch(prometheus.Labels) int
			}{m.requests, m.seconds, m.outcomes} {
				vec.DeletePartialMatch(prometheus.Labels{"route": name})
			}
		}
	}
}

// request counts one that was answered. status is 0 if nothing was.
func (c *routeCounts) request(status int, took time.Duration, p *passage) {
	class := status / 100
	if class < 0 || class >= len(c.classes) {
		class = 0
	}
	c.classes[class].Inc()
	c.seconds.Observe(took.Seconds())
	c.decision(p)
}

// decision counts what was decided, by the gateway and not by an upstream.
func (c *routeCounts) decision(p *passage) {
	if p.admitted > 0 {
		c.metrics.deciding.Observe(p.admitted.Seconds())
	}
	if p.refused == nil || p.forwarded {
		c.accepted.Inc()
		return
	}
	c.metrics.outcomes.WithLabelValues(c.name, p.refused.code).Inc()
}
