package sqlstore

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/countersign/countersign/internal/fault"
)

// metrics count the calls that the database failed, by operation.
type metrics struct {
	update, view, insert, token, revoke, maintain, usage prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) metrics {
	failures := promauto.With(registerer).NewCounterVec(prometheus.CounterOpts{
		Namespace: "countersign", Name: "database_errors_total", Help: "Calls that failed because the database did not answer, by operation.",
	}, []string{"operation"})
	of := failures.WithLabelValues
	return metrics{
		update: of("update"), view: of("view"), insert: of("insert_tokens"), token: of("read_token"), revoke: of("revoke"), maintain: of("maintain"),
		usage: of("record_usage"),
	}
}

// count is deferred with the result of an operation.
func count(failures prometheus.Counter, err *error) {
	if *err != nil && errors.Is(*err, fault.Unavailable) {
		failures.Inc()
	}
}
