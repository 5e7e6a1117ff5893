// Package bench measures Countersign beside the bare limit for the same work, in the same run: figures of a shared or busy
// machine mean nothing by themselves, ratios of loads that alternate do. `make bench` runs it; README.md says how to read it.
//
// Each benchmark starts real processes on loopback, and adds its rows to a report of its own that is written to results/.
package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
)

// Side is a program that is measured, or a way to it, with the load for it.
type Side struct {
	Name string
	Load generator.Load
	PIDs map[string]int // processes whose time is counted, by name; the load's own is counted anyway
}

// The sides that most rows have.
const (
	countersign = "Countersign"
	limit       = "limit" // a bare program that does the same work by hand
)

// loadProcess is what the generator is called among the processes whose time is counted.
const loadProcess = "load"

// Rounds says how long a comparison takes.
type Rounds struct {
	Count  int
	Each   time.Duration
	WarmUp time.Duration // of each side, before the first round
}

// compare runs the loads of all sides in turn. Every round begins with another one.
func compare(ctx context.Context, work string, rounds Rounds, sides ...Side) (report.Row, error) {
	row := report.Row{Work: work}
	courses, err := takeTurns(ctx, rounds, sides)
	for _, c := range courses {
		row.Sides = append(row.Sides, c.result())
	}
	return row, err
}

// takeTurns warms all sides up and takes them through their rounds, one after the other. Each round begins with another one.
func takeTurns(ctx context.Context, rounds Rounds, sides []Side) ([]*course, error) {
	var all []*course
	for _, side := range sides {
		c := &course{side: side}
		if err := c.warmUp(ctx, rounds.WarmUp); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	for n := range rounds.Count {
		for k := range all {
			if err := all[(n+k)%len(all)].round(ctx, rounds.Each); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// course is the way of one side through its rounds.
type course struct {
	side    Side
	samples []generator.Sample
	spent   []map[string]time.Duration // processor time by process, of each sample
}

func (c *course) warmUp(ctx context.Context, d time.Duration) error {
	load := c.side.Load
	load.Duration = d
	if _, err := load.Run(ctx); err != nil {
		return fmt.Errorf("%s: %w", c.side.Name, err)
	}
	return nil
}

func (c *course) round(ctx context.Context, d time.Duration) error {
	load := c.side.Load
	load.Duration = d
	var s generator.Sample
	spent, err := spentDuring(c.side.PIDs, func() (err error) {
		s, err = load.Run(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.side.Name, err)
	}
	spent[loadProcess] = s.CPU
	c.samples, c.spent = append(c.samples, s), append(c.spent, spent)
	return nil
}

// result is what the rounds came to.
func (c *course) result() report.Side {
	side := report.Side{Name: c.side.Name}
	var rates, p50, p99 []float64
	for _, s := range c.samples {
		rates, p50, p99 = append(rates, s.Rate()), append(p50, millis(s.P50)), append(p99, millis(s.P99))
		side.Requests += s.Answers
	}
	side.Figures = []report.Figure{
		report.NewFigure(report.Rate, report.PerSecond, rates...),
		report.NewFigure(report.P50, report.Millis, p50...),
		report.NewFigure(report.P99, report.Millis, p99...),
	}
	side.CPU = perThousand(c.spent, side.Requests)
	return side
}

// perThousand returns milliseconds of processor time per 1,000 requests, by process, of all rounds together.
func perThousand(spent []map[string]time.Duration, requests int) map[string]float64 {
	sum := map[string]time.Duration{}
	for _, round := range spent {
		for name, d := range round {
			sum[name] += d
		}
	}
	each := map[string]float64{}
	for name, d := range sum {
		each[name] = millis(d) * 1000 / float64(requests)
	}
	return each
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
