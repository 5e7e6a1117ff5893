package usage

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/server/auth"
)

type metrics struct {
	failed               map[string]prometheus.Counter // by reason
	flushed, flushFailed prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_authentication_failures_total", Help: "Clients that were not authenticated, by reason.",
	}, []string{"reason"})
	flushes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_usage_flushes_total", Help: "Times that uses of secrets and grants were written, by outcome.",
	}, []string{"outcome"})
	if r != nil {
		for _, c := range []prometheus.Collector{failures, flushes} {
			if err := r.Register(c); err != nil {
				return nil, fmt.Errorf("register metrics of usage: %w", err)
			}
		}
	}
	m := &metrics{
		failed:  map[string]prometheus.Counter{},
		flushed: flushes.WithLabelValues("written"), flushFailed: flushes.WithLabelValues("failed"),
	}
	for _, reason := range auth.Reasons() {
		m.failed[reason] = failures.WithLabelValues(reason)
	}
	return m, nil
}
