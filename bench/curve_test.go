package bench

import (
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
)

// BenchmarkCurve is rate and latency over the number of connections, beside the limit's. Its plots are results/curve-rate.svg and
// results/curve-latency.svg.
func BenchmarkCurve(b *testing.B) {
	w := newWorld(b)
	var rows []report.Row
	rounds := Rounds{Count: 3, Each: time.Second, WarmUp: time.Second}
	works := w.works()[:3] // a JWT that was seen before costs what an opaque token does
	for _, work := range works {
		b.Run(work.name, func(b *testing.B) {
			sides := work.sides()
			for connections := 1; connections <= 128; connections *= 2 {
				for n := range sides {
					sides[n].Load.Connections = connections
				}
				row, err := compare(b.Context(), work.what, rounds, sides...)
				if err != nil {
					b.Fatal(err)
				}
				row.At, row.AtUnit = float64(connections), "at once"
				rows = append(rows, row)
				tell(b, row)
			}
		})
	}
	if len(rows) < 8*len(works) {
		return // some were not asked for, or could not be measured; that a floor is missed is told
	}
	w.publish(&report.Report{
		Name: "curve", Title: "Rate and latency over the number of connections", Versions: w.versions(), Rows: rows,
		Setting: "As for the server's table, with more and fewer connections; a closed loop.",
		Plots: []report.Plot{
			{Name: "curve-rate", Title: "Requests per second over connections", Figures: []string{report.Rate}, X: "connections", Y: "requests/s"},
			{
				Name: "curve-latency", Title: "Latency over connections, closed loop", Figures: []string{report.P50, report.P99}, X: "connections", Y: "ms", Log: true,
			},
		},
	})
}
