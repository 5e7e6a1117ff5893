package bench

import (
	"context"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
)

const (
	latencyRounds = 5
	latencyRound  = 3 * time.Second
	halfOfMaximum = 50 // in %, where the bounds hold

	sentOfDue = "sent of what was due" // in %
)

// BenchmarkLatency is how long answers take when requests come at a fixed rate, whether or not those before were answered: at a quarter, half and three
// quarters of the rate that a closed loop of the same generator reaches.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b)
	vegeta, err := generator.Vegeta(b.Context(), "tools")
	w.check(err)
	var rows []report.Row
	for _, work := range w.works() {
		b.Run(work.name, func(b *testing.B) {
			all, err := work.arrivals(b.Context(), vegeta)
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
		Setting: "An open loop: requests are sent when they are due, whether or not those before were answered. Server, database and the generator, " +
			"which takes as much as the server, share the processors; so the maximum is what a closed loop of the same generator reaches just before, on 32 connections.",
		Plots: []report.Plot{{
			Name: "latency", Title: "Latency at fixed rates, open loop", Figures: []string{report.P50, report.P99}, X: "% of the maximum rate", Y: "ms", Log: true,
		}},
	})
}

// shares of the maximum at which latencies are measured, in %.
func shares() []float64 { return []float64{25, halfOfMaximum, 75} }

// arrivals measures our side as fast as it goes, and then at shares of that, in turn.
func (w *work) arrivals(ctx context.Context, vegeta string) ([]report.Row, error) {
	side := w.sides()[0]
	load := generator.Open{
		Vegeta: vegeta, Address: side.Load.Address, Connections: generator.Connections, Duration: latencyRound, Requests: side.Load.Requests, Body: side.Load.Body,
	}
	paces := []*pace{{side: side, load: load}}
	for range 3 {
		if err := paces[0].round(ctx); err != nil {
			return nil, err
		}
	}
	closed := paces[0].result()
	most := closed.Figure(report.Rate).Value
	for _, percent := range shares() {
		load.Rate = int(most * percent / 100)
		paces = append(paces, &pace{side: side, load: load})
	}
	for n := range latencyRounds {
		for k := range shares() {
			if err := paces[1+(n+k)%len(shares())].round(ctx); err != nil {
				return nil, err
			}
		}
	}
	rows := make([]report.Row, 0, len(paces)-1)
	for n, p := range paces[1:] {
		rows = append(rows, report.Row{Work: w.what, At: shares()[n], AtUnit: "% of the maximum", Sides: []report.Side{p.result()}})
	}
	return rows, nil
}

// judge looks at the row of half of the maximum.
func (w *work) judge(rows []report.Row) (missed []error) {
	for n := range rows {
		if rows[n].At != halfOfMaximum {
			continue
		}
		for _, v := range []report.Verdict{
			{Figure: report.P99, Of: countersign, AtMost: true, Floor: w.p99, Summary: w.what + ": p99 at half of the maximum rate"},
			{Figure: sentOfDue, Of: countersign, Floor: 95}, // or the generator was the limit
		} {
			if err := rows[n].Judge(v); err != nil {
				missed = append(missed, err)
			}
		}
	}
	return missed
}

// pace is an open loop at one rate, and its rounds.
type pace struct {
	side    Side
	load    generator.Open
	samples []generator.Arrivals
	spent   []map[string]time.Duration
}

func (p *pace) round(ctx context.Context) error {
	var arrivals generator.Arrivals
	spent, err := spentDuring(p.side.PIDs, func() (err error) {
		arrivals, err = p.load.Run(ctx)
		return err
	})
	if err != nil {
		return err
	}
	spent[loadProcess] = arrivals.CPU
	p.samples, p.spent = append(p.samples, arrivals), append(p.spent, spent)
	return nil
}

func (p *pace) result() report.Side {
	side := report.Side{Name: p.side.Name}
	figure := func(name, unit string, of func(generator.Arrivals) float64) {
		var rounds []float64
		for _, s := range p.samples {
			rounds = append(rounds, of(s))
		}
		side.Figures = append(side.Figures, report.NewFigure(name, unit, rounds...))
	}
	figure(report.Rate, report.PerSecond, generator.Arrivals.Rate)
	figure(report.P50, report.Millis, func(s generator.Arrivals) float64 { return millis(s.P50) })
	figure(report.P99, report.Millis, func(s generator.Arrivals) float64 { return millis(s.P99) })
	figure(report.P999, report.Millis, func(s generator.Arrivals) float64 { return millis(s.P999) })
	figure("max", report.Millis, func(s generator.Arrivals) float64 { return millis(s.Max) })
	figure("sent late, p99", report.Millis, func(s generator.Arrivals) float64 { return millis(s.Late) })
	figure(sentOfDue, "%", func(s generator.Arrivals) float64 { return s.Sent })
	for _, s := range p.samples {
		side.Requests += s.Answers
	}
	side.CPU = perThousand(p.spent, side.Requests)
	return side
}
