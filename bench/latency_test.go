package bench

import (
	"context"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
)

const (
	// callers is how many connections an open loop has: as many as may wait for an answer before one that is due is sent late.
	callers         = 256
	halfOfMaximum   = 50 // in %, where the bounds hold
	mostBesideLimit = 2

	sentLate = "sent late" // in % of the requests
)

// BenchmarkLatency is how long answers take when requests come at a fixed rate, whether or not those before were answered: at a quarter, half and three
// quarters of the rate that a closed loop reaches.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b)
	var rows []report.Row
	for _, work := range w.works() {
		b.Run(work.name, func(b *testing.B) {
			all, err := work.arrivals(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for _, err := range work.judge(all) {
				b.Error(err)
			}
			rows = append(rows, all...)
			tell(b, all...)
		})
	}
	if len(rows) < len(shares())*len(w.works()) {
		return // some were not asked for, or could not be measured; that a floor is missed is told
	}
	w.publish(&report.Report{
		Name: "latency", Title: "Latency at fixed rates", Versions: w.versions(), Rows: rows,
		Setting: "An open loop: requests are sent when they are due, whether or not those before were answered. The maximum is the rate that a closed loop of 32 " +
			"connections reaches on Countersign just before; the limit gets the same rates. Server, database and load share the processors.",
		Plots: []report.Plot{{
			Name: "latency", Title: "Latency at fixed rates, open loop", Figures: []string{report.P50, report.P99}, X: "% of the maximum rate", Y: "ms", Log: true,
		}},
	})
}

// shares of the maximum at which latencies are measured, in %.
func shares() []float64 { return []float64{25, halfOfMaximum, 75} }

// arrivals measures our side as fast as it goes, and then both sides at shares of that, in turn.
func (w *work) arrivals(ctx context.Context) ([]report.Row, error) {
	sides := w.sides()
	closed, err := compare(ctx, w.what, Rounds{Count: 3, Each: 2 * time.Second, WarmUp: time.Second}, sides[0])
	if err != nil {
		return nil, err
	}
	maximum := closed.Sides[0].Figure(report.Rate).Value
	var paced []Side
	for _, percent := range shares() {
		for _, side := range sides {
			side.Load.Rate, side.Load.Connections = int(maximum*percent/100), callers
			paced = append(paced, side)
		}
	}
	courses, err := takeTurns(ctx, Rounds{Count: 5, Each: 2 * time.Second, WarmUp: time.Second}, paced)
	if err != nil {
		return nil, err
	}
	rows := make([]report.Row, 0, len(shares()))
	for n, percent := range shares() {
		row := report.Row{Work: w.what, At: percent, AtUnit: "% of the maximum"}
		for _, c := range courses[n*len(sides) : (n+1)*len(sides)] {
			side := c.result()
			side.Figures = append(side.Figures, c.tail()...)
			row.Sides = append(row.Sides, side)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// tail is what only an open loop can tell.
func (c *course) tail() []report.Figure {
	var p999, most, late []float64
	for _, s := range c.samples {
		p999, most, late = append(p999, millis(s.P999)), append(most, millis(s.Max)), append(late, 100*float64(s.Late)/float64(s.Answers))
	}
	return []report.Figure{
		report.NewFigure(report.P999, report.Millis, p999...), report.NewFigure("max", report.Millis, most...), report.NewFigure(sentLate, "%", late...),
	}
}

// judge looks at the row of half of the maximum.
func (w *work) judge(rows []report.Row) (missed []error) {
	for n := range rows {
		if rows[n].At != halfOfMaximum {
			continue
		}
		for _, v := range []report.Verdict{
			{Figure: report.P99, Of: countersign, AtMost: true, Floor: w.p99, Summary: w.what + ": p99 at half of the maximum rate"},
			{ // which tells what the machine and the load add themselves
				Figure: report.P99, Of: countersign, Beside: limit, AtMost: true, Floor: mostBesideLimit,
				Summary: w.what + ": the same beside the limit",
			},
			{Figure: sentLate, Of: countersign, AtMost: true, Floor: 1}, // or it was not an open loop
		} {
			if err := rows[n].Judge(v); err != nil {
				missed = append(missed, err)
			}
		}
	}
	return missed
}
