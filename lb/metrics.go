package lb

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the figures of pools and their upstreams: countersign_lb_*. It is safe for concurrent use.
type Metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	ejections *prometheus.CounterVec

	mu    sync.Mutex
	users map[series]int // a pool and the one that replaces it may have an upstream in common
	pools []*Pool        // that run, the latest last
}

// series are the labels of an upstream; those of a pool are without upstream.
type series struct{ pool, upstream string }

// NewMetrics returns Metrics that registerer exports. Nil: nobody does.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	upstream := []string{"pool", "upstream"}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_lb_requests_total",
			Help: "Requests sent to an upstream, by the class of the answer's status; error: it could not be reached, broke off or took too long; cancelled: the client did; connected: not a request but a connection of mode tcp.",
		}, append(upstream, "code")),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_lb_request_seconds", Help: "Time until the headers of an upstream's answer, or until it was connected to in mode tcp.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, upstream),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_lb_retries_total", Help: "Requests sent to a further upstream after one had failed.",
		}, []string{"pool"}),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_lb_ejections_total", Help: "How often an upstream was ejected because its requests failed.",
		}, upstream),
		users: map[series]int{},
	}
	if registerer != nil {
		registerer.MustRegister(m.requests, m.seconds, m.retries, m.ejections, newGauges(m))
	}
	return m
}

// upstreamMetrics are those of one upstream, looked up once.
type upstreamMetrics struct {
	classes   [6]prometheus.Counter // by the first figure of the status
	failed    prometheus.Counter
	cancelled prometheus.Counter
	streams   prometheus.Counter
	seconds   prometheus.Observer
	ejections prometheus.Counter
}

// answered counts an answer.
func (m *upstreamMetrics) answered(status int, took time.Duration) {
	if m == nil {
		return
	}
	m.seconds.Observe(took.Seconds())
	if class := status / 100; class > 0 && class < len(m.classes) {
		m.classes[class].Inc()
	}
}

// connected counts a connection of a Stream.
func (m *upstreamMetrics) connected(took time.Duration) {
	if m == nil {
		return
	}
	m.seconds.Observe(took.Seconds())
	m.streams.Inc()
}

// broke counts a request without an answer.
func (m *upstreamMetrics) broke(cancelled bool) {
	switch {
	case m == nil:
	case cancelled:
		m.cancelled.Inc()
	default:
		m.failed.Inc()
	}
}

// upstream returns the figures of an upstream, which drop takes away. m may be nil.
func (m *Metrics) upstream(pool, upstream string) *upstreamMetrics {
	if m == nil {
		return nil
	}
	m.use(series{pool, upstream}, 1)
	u := &upstreamMetrics{
		seconds: m.seconds.WithLabelValues(pool, upstream), ejections: m.ejections.WithLabelValues(pool, upstream),
		failed: m.requests.WithLabelValues(pool, upstream, "error"), cancelled: m.requests.WithLabelValues(pool, upstream, "cancelled"),
		streams: m.requests.WithLabelValues(pool, upstream, "connected"),
	}
	for i, class := range []string{1: "1xx", "2xx", "3xx", "4xx", "5xx"} {
		if class != "" {
			u.classes[i] = m.requests.WithLabelValues(pool, upstream, class)
		}
	}
	return u
}

// pool returns the counter of retries of a pool, which drop takes away. m may be nil.
func (m *Metrics) pool(pool string) prometheus.Counter {
	if m == nil {
		return nil
	}
	m.use(series{pool: pool}, 1)
	return m.retries.WithLabelValues(pool)
}

func (m *Metrics) use(s series, n int) (left int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[s] += n
	if left = m.users[s]; left == 0 {
		delete(m.users, s)
	}
	return left
}

// drop takes away the figures of an upstream, or of a pool, if nobody else uses them.
func (m *Metrics) drop(s series) {
	switch {
	case m == nil || m.use(s, -1) > 0:
	case s.upstream == "":
		m.retries.DeleteLabelValues(s.pool)
	default:
		labels := prometheus.Labels{"pool": s.pool, "upstream": s.upstream}
		m.requests.DeletePartialMatch(labels)
		m.seconds.Delete(labels)
		m.ejections.Delete(labels)
	}
}
