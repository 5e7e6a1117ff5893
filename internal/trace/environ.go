package trace

import (
	"slices"
	"strings"
)

// Environ returns environ for a process that exports its spans to a Receiver at this base URL, as the named instance of its service.
// It records requests that ask for it by their trace context, and no others. What environ says of OpenTelemetry is left out.
func Environ(environ []string, url, bearer, instance string) []string {
	own := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool { return strings.HasPrefix(entry, "OTEL_") })
	return append(own,
		"OTEL_EXPORTER_OTLP_ENDPOINT="+url,
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+bearer,
		"OTEL_EXPORTER_OTLP_COMPRESSION=none",
		"OTEL_TRACES_SAMPLER=parentbased_always_off",
		"OTEL_BSP_SCHEDULE_DELAY=50", // milliseconds: somebody waits for them
		"OTEL_RESOURCE_ATTRIBUTES=service.instance.id="+instance,
	)
}

// Chosen returns the variable by which environ says already where spans go, or that there are to be none; empty: it does not.
func Chosen(environ []string) string {
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, name+"="); ok && value != "" && (name != "OTEL_SDK_DISABLED" || strings.EqualFold(value, "true")) {
				return name
			}
		}
	}
	return ""
}
