package imported

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what became of values that were compared with imported secrets.
type metrics struct{ remembered, matched, missed, limited, busy prometheus.Counter }

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_imported_secret_checks_total",
		Help: "Values compared with imported secrets by outcome: remembered, matched, missed, limited, busy.",
	}, []string{"outcome"})
	if r != nil {
		if err := r.Register(checks); err != nil {
			return nil, fmt.Errorf("register metrics of imported secrets: %w", err)
		}
	}
	return &metrics{
		remembered: checks.WithLabelValues("remembered"),
		matched:    checks.WithLabelValues("matched"),
		missed:     checks.WithLabelValues("missed"),
		limited:    checks.WithLabelValues("limited"),
		busy:       checks.WithLabelValues("busy"),
	}, nil
}
