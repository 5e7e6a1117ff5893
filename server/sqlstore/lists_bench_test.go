package sqlstore_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkLists makes each list and look-up of a big database, and reports how long the slowest hundredth of all calls takes and
// which kind is the slowest. b.N counts rounds of all of them.
func BenchmarkLists(b *testing.B) {
	for name, url := range databases() {
		b.Run(name, func(b *testing.B) {
			where := url(b)
			s := migrated(b, where)
			data := fill(b, raw(b, where))
			if strings.HasPrefix(where, "mysql:") {
				analyze(b, data.db)
			}
			queries := slices.DeleteFunc(data.queries(), func(q query) bool { return q.name == "uses" || q.name == "a thousand tokens" })
			took := make([][]time.Duration, len(queries))
			for b.Loop() {
				for i, q := range queries {
					began := time.Now()
					if err := q.call(b.Context(), s); err != nil {
						b.Fatalf("%s: %v", q.name, err)
					}
					took[i] = append(took[i], time.Since(began))
				}
			}
			slowest := 0
			for i := range took {
				if slices.Sort(took[i]); took[i][len(took[i])/2] > took[slowest][len(took[slowest])/2] {
					slowest = i
				}
			}
			all := slices.Concat(took...)
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs/p50")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "µs/p99")
			b.ReportMetric(0, "ns/op")
			b.Logf("%d calls; the slowest kind takes %s: %s", len(all), took[slowest][len(took[slowest])/2], queries[slowest].name)
		})
	}
}
