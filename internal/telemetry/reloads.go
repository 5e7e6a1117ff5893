package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reloads are the figures of a configuration that is read again while a process runs.
type Reloads struct {
	total *prometheus.CounterVec
	good  prometheus.Gauge
	last  prometheus.Gauge
}

// NewReloads registers the figures. The configuration that the process begins with is a good one.
func NewReloads(registry prometheus.Registerer) *Reloads {
	r := &Reloads{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_config_reloads_total", Help: "Configurations that were read after the start, by what became of them.",
		}, []string{"result"}),
		good: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_config_last_reload_success", Help: "1 if the configuration that was read last is in force, 0 if it was refused.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_config_last_reload_timestamp_seconds", Help: "When the configuration was last read after the start.",
		}),
	}
	r.good.Set(1)
	for _, result := range []string{"success", "failure"} {
		r.total.WithLabelValues(result)
	}
	registry.MustRegister(r.total, r.good, r.last)
	return r
}

// Done notes what became of a configuration that was read at now: err is why it was refused, nil if it is in force.
func (r *Reloads) Done(err error, now time.Time) {
	result, good := "success", 1.0
	if err != nil {
		result, good = "failure", 0
	}
	r.total.WithLabelValues(result).Inc()
	r.good.Set(good)
	r.last.Set(float64(now.Unix()))
}
