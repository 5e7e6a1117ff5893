package issue

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	factory  promauto.Factory
	batch    *prometheus.HistogramVec
	latency  *prometheus.HistogramVec
	outcomes *prometheus.CounterVec
}

// queueMetrics are those of one writer.
type queueMetrics struct {
	batch, latency                                                 prometheus.Observer
	committed, stale, replayed, unavailable, failed, unknown, shed prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory, labels := promauto.With(registerer), []string{"writer"}
	return &metrics{
		factory: factory,
		batch: factory.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "countersign", Name: "write_batch_size", Help: "Rows that shared a transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}, labels),
		latency: factory.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "countersign", Name: "write_commit_seconds", Help: "Time that a transaction took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15),
		}, labels),
		outcomes: factory.NewCounterVec(prometheus.CounterOpts{
			Namespace: "countersign", Name: "writes_total",
			Help: "Rows by outcome; of outcome unknown, transactions that were retried for that.",
		}, []string{"writer", "outcome"}),
	}
}

func (m *metrics) of(writer string) queueMetrics {
	return queueMetrics{
		batch: m.batch.WithLabelValues(writer), latency: m.latency.WithLabelValues(writer),
		committed:   m.outcomes.WithLabelValues(writer, "committed"),
		stale:       m.outcomes.WithLabelValues(writer, "stale"),
		replayed:    m.outcomes.WithLabelValues(writer, "replayed"),
		unavailable: m.outcomes.WithLabelValues(writer, "unavailable"),
		failed:      m.outcomes.WithLabelValues(writer, "failed"),
		unknown:     m.outcomes.WithLabelValues(writer, "unknown"),
		shed:        m.outcomes.WithLabelValues(writer, "shed"),
	}
}

func (m *metrics) depth(writer string, length func() int) {
	m.factory.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "countersign", Name: "write_queue_length", Help: "Rows that wait to be written.",
		ConstLabels: prometheus.Labels{"writer": writer},
	}, func() float64 { return float64(length()) })
}
