package abuse

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	refusals map[string]prometheus.Counter // by reason
	unshared prometheus.Counter
}

func newMetrics(r prometheus.Registerer, overBudget func() float64) (*metrics, error) {
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_abuse_refusals_total",
		Help: "Requests answered with 429, by reason: runaway, failures_address, failures_client, scanning.",
	}, []string{"reason"})
	m := &metrics{refusals: map[string]prometheus.Counter{}, unshared: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "countersign_abuse_unshared_reports_total", Help: "Reports of counts that Redis did not take.",
	})}
	for _, reason := range reasons() {
		m.refusals[reason] = refusals.WithLabelValues(reason)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{refusals, m.unshared, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "countersign_abuse_clients_over_budget", Help: "Clients that were refused a token within the last minute because of their number.",
	}, overBudget)} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of abuse: %w", err)
		}
	}
	return m, nil
}
