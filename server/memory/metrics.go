package memory

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	reads struct{ current, applied, reloaded, failed prometheus.Counter }
}

func newMetrics(registerer prometheus.Registerer, d *Directory) *metrics {
	factory := promauto.With(registerer)
	gauge := func(name, help string, value func() float64) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "countersign", Name: name, Help: help}, value)
	}
	gauge("change_log_age_seconds", "Time since the last successful read of the change log began.",
		func() float64 { return d.Age().Seconds() })
	gauge("change_log_sequence", "Sequence of the change log that is applied in memory.",
		func() float64 { return float64(d.Sequence()) })
	gauge("directory_clients", "Clients held in memory.",
		func() float64 { return float64(d.current.Load().clients.length.Load()) })
	gauge("directory_revocations", "Subjects of revocations held in memory.",
		func() float64 { return float64(d.current.Load().denied.sequences.length.Load()) })
	reads := factory.NewCounterVec(prometheus.CounterOpts{
		Namespace: "countersign", Name: "change_log_reads_total", Help: "Reads of the change log by outcome.",
	}, []string{"outcome"})
	m := &metrics{}
	m.reads.current = reads.WithLabelValues("current")
	m.reads.applied = reads.WithLabelValues("applied")
	m.reads.reloaded = reads.WithLabelValues("reloaded")
	m.reads.failed = reads.WithLabelValues("failed")
	return m
}
