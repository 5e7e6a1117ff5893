package server

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

// metrics count requests. Both labels are of a fixed set: endpoints by name, outcomes "ok" and the fault codes.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	// exchanges has one label, outcomes as requests has them.
	exchanges *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_http_requests_total", Help: "Requests answered, by endpoint and outcome.",
		}, []string{"endpoint", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_http_request_duration_seconds", Help: "Time to answer, by endpoint.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"endpoint"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "countersign_http_requests_in_flight", Help: "Requests being answered, by endpoint.",
		}, []string{"endpoint"}),
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_token_exchanges_total", Help: "Tokens asked for by exchange for another, by outcome.",
		}, []string{"outcome"}),
	}
	m.exchanges.WithLabelValues("ok") // there from the start, so that its rate can be told
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.exchanges} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// measure counts what next answers under the endpoint's name.
func (m *metrics) measure(endpoint string, now func() time.Time, next http.Handler) http.Handler {
	ok := m.requests.WithLabelValues(endpoint, "ok")
	duration, inFlight := m.duration.WithLabelValues(endpoint), m.inFlight.WithLabelValues(endpoint)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := httpx.From(r.Context())
		inFlight.Inc()
		returned := false
		defer func() {
			inFlight.Dec()
			duration.Observe(x.Took(now).Seconds())
			switch {
			case !returned:
				m.requests.WithLabelValues(endpoint, string(fault.Internal)).Inc()
			case x.Fault != nil:
				m.requests.WithLabelValues(endpoint, string(x.Fault.Code)).Inc()
			default:
				ok.Inc()
			}
		}()
		next.ServeHTTP(w, r)
		returned = true
	})
}
