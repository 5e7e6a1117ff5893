// Package telemetry makes what a part tells about itself: logs, metrics and traces. Nothing is sent anywhere unless the
// standard OTEL_* variables ask for it.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewLogger returns a logger that writes one JSON object per line to w. level is debug, info, warn or error. If w is Lines,
// warnings and errors are flushed: whatever happens next, they are written.
func NewLogger(w io.Writer, level string) (*slog.Logger, error) {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: allowed are debug, info, warn, error", level)
	}
	return NewLeveledLogger(w, threshold), nil
}

// NewLeveledLogger is NewLogger with a level that may change meanwhile.
func NewLeveledLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(newHandler(w, level))
}

// NewRegistry returns a metrics registry with the figures of the Go runtime and the process, and `countersign_build_info`,
// always 1, that carries the version.
func NewRegistry(version string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "countersign_build_info", Help: "Always 1; carries the version.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// MetricsHandler serves what the registry holds in the Prometheus text format.
func MetricsHandler(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
