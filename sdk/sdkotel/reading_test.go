package sdkotel_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// meters collects metrics when it is told to.
type meters struct {
	*metric.MeterProvider
	reader *metric.ManualReader
}

func newMeters() *meters {
	reader := metric.NewManualReader()
	return &meters{metric.NewMeterProvider(metric.WithReader(reader)), reader}
}

// reading is what was collected: the value by name and attributes, without those that all have.
type reading map[string]float64

func (m *meters) read(t *testing.T) reading {
	t.Helper()
	got := reading{}
	for _, s := range m.collect(t) {
		for _, p := range points(t, s) {
			got[strings.TrimSpace(s.Name+" "+p.about)] += p.value
		}
	}
	return got
}

func (m *meters) collect(t *testing.T) []metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := m.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var got []metricdata.Metrics
	for _, scope := range all.ScopeMetrics {
		got = append(got, scope.Metrics...)
	}
	return got
}

type figure struct {
	about string
	value float64
	all   attribute.Set
}

func points(t *testing.T, m metricdata.Metrics) (all []figure) {
	t.Helper()
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			all = append(all, figure{about(p.Attributes), float64(p.Value), p.Attributes})
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			all = append(all, figure{about(p.Attributes), p.Value, p.Attributes})
		}
	default:
		t.Fatalf("%s is a %T", m.Name, m.Data)
	}
	return all
}

// about renders the attributes that tell points of one instrument apart.
func about(set attribute.Set) string {
	var words []string
	for _, a := range set.ToSlice() {
		switch a.Key {
		case "countersign.issuer", "countersign.client_id", "countersign.audience":
		default:
			words = append(words, a.Value.AsString())
		}
	}
	return strings.Join(words, " ")
}

// expect compares what was collected with some rows of it.
func (r reading) expect(t *testing.T, want reading) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := r[name]; !ok || got != want[name] {
			t.Errorf("%s: got %v (%t), want %v", name, got, ok, want[name])
		}
	}
	if t.Failed() {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(r)) {
			all = append(all, fmt.Sprint(name, ": ", r[name]))
		}
		t.Log(strings.Join(all, "\n"))
	}
}
