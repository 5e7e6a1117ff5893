// Package bench measures Countersign beside the bare limit for the same work, in the same run: figures of a shared or busy
// machine mean nothing by themselves, ratios of loads that alternate do. `make bench` runs it; README.md says how to read it.
//
// Each benchmark starts real processes on loopback, and adds its rows to a Report of its own that is written to results/.
package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Side is one of the two programs that are compared, with the load for it.
type Side struct {
	Name string
	Load Load
	PIDs map[string]int // processes whose time is counted, by name
}

// Figures are what the rounds of one side came to.
type Figures struct {
	Name     string        `json:"name"`
	Rates    []float64     `json:"rates_per_second"` // in the order of the rounds
	Rate     float64       `json:"rate_per_second"`  // their median
	P50      time.Duration `json:"p50_ns"`           // median of the rounds
	P99      time.Duration `json:"p99_ns"`           // median of the rounds
	Requests int           `json:"requests"`         // answered, the warm-up not counted
	// CPU is seconds of processor time per 1,000 requests, by process.
	CPU map[string]float64 `json:"cpu_seconds_per_1000_requests"`
}

// Spread is how far the rounds lie apart: the difference of the fastest and the slowest as a share of the median.
func (f Figures) Spread() float64 { return (slices.Max(f.Rates) - slices.Min(f.Rates)) / f.Rate }

// Row is one kind of work, done by both sides.
type Row struct {
	Work  string  `json:"work"`
	Ours  Figures `json:"countersign"`
	Limit Figures `json:"limit"`
	// Shares are the ratios of the rates, round by round, Share is their median.
	Shares []float64 `json:"shares"`
	Share  float64   `json:"share"`
	Floor  float64   `json:"floor"` // what the share must reach
}

// Rounds says how long a comparison takes.
type Rounds struct {
	Count  int
	Each   time.Duration
	WarmUp time.Duration // of each side, before the first round
}

// compare runs the loads of both sides in turn. Every second round begins with the other side.
func compare(ctx context.Context, work string, rounds Rounds, ours, limit Side) (Row, error) {
	row := Row{Work: work, Ours: Figures{Name: ours.Name}, Limit: Figures{Name: limit.Name}}
	mine, bare := &course{side: ours}, &course{side: limit}
	if err := takeTurns(ctx, rounds, mine, bare); err != nil {
		return row, err
	}
	row.Ours, row.Limit = mine.figures(), bare.figures()
	for n := range rounds.Count {
		row.Shares = append(row.Shares, row.Ours.Rates[n]/row.Limit.Rates[n])
	}
	row.Share = median(row.Shares)
	return row, nil
}

// takeTurns warms all courses up and takes them through their rounds, one after the other. Each round begins with another one.
func takeTurns(ctx context.Context, rounds Rounds, all ...*course) error {
	for _, c := range all {
		if err := c.warmUp(ctx, rounds.WarmUp); err != nil {
			return err
		}
	}
	for n := range rounds.Count {
		for k := range all {
			if err := all[(n+k)%len(all)].round(ctx, rounds.Each); err != nil {
				return err
			}
		}
	}
	return nil
}

// course is the way of one side through its rounds.
type course struct {
	side    Side
	samples []Sample
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
	before, err := c.times()
	if err != nil {
		return err
	}
	load := c.side.Load
	load.Duration = d
	s, err := load.Run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", c.side.Name, err)
	}
	after, err := c.times()
	if err != nil {
		return err
	}
	spent := make(map[string]time.Duration, len(before))
	for name := range before {
		spent[name] = after[name] - before[name]
	}
	c.samples, c.spent = append(c.samples, s), append(c.spent, spent)
	return nil
}

func (c *course) times() (map[string]time.Duration, error) {
	times := make(map[string]time.Duration, len(c.side.PIDs))
	for name, pid := range c.side.PIDs {
		t, err := cpuTime(pid)
		if err != nil {
			return nil, err
		}
		times[name] = t
	}
	return times, nil
}

func (c *course) figures() Figures {
	f := Figures{Name: c.side.Name, CPU: map[string]float64{}}
	var p50, p99 []time.Duration
	for _, s := range c.samples {
		f.Rates, p50, p99 = append(f.Rates, s.Rate()), append(p50, s.P50), append(p99, s.P99)
		f.Requests += s.Answers
	}
	f.Rate, f.P50, f.P99 = median(f.Rates), median(p50), median(p99)
	for _, spent := range c.spent {
		for name, d := range spent {
			f.CPU[name] += d.Seconds() * 1000 / float64(f.Requests)
		}
	}
	return f
}

// median returns the middle value, or the mean of the two in the middle.
func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
