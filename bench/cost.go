package bench

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
)

// Cost measures what one call costs, in the same process as its limit.
type Cost struct {
	Work       string
	Goroutines int // that call at once
	// Ours and Limit make a call. Limit may be nil.
	Ours, Limit func() error
	LimitName   string
}

const (
	costRounds = 9                      // in which the two sides take turns
	costRound  = 300 * time.Millisecond // of one side, about

	perCall     = "per call" // in ns; with several goroutines the time of all over the calls of all
	allocations = "allocations"
)

// by says by how many goroutines, unless it is by one.
func by(goroutines int) string {
	if goroutines <= 1 {
		return ""
	}
	return fmt.Sprintf(", by %d goroutines", goroutines)
}

// measure has both calls made in turn by so many goroutines.
func (c *Cost) measure() (report.Row, error) {
	row := report.Row{Work: c.Work + by(c.Goroutines)}
	times, err := c.times(c.Ours)
	if err != nil {
		return row, err
	}
	var limits int
	if c.Limit != nil {
		if limits, err = c.times(c.Limit); err != nil {
			return row, err
		}
	}
	var ours, bare []float64
	for n := range costRounds {
		sides := []func() error{
			func() error { return c.round(c.Ours, times, &ours) },
			func() error { return c.round(c.Limit, limits, &bare) },
		}
		if c.Limit == nil {
			sides = sides[:1]
		}
		if n%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := side(); err != nil {
				return row, err
			}
		}
	}
	allocs, err := allocationsOf(c.Ours)
	row.Sides = []report.Side{{Name: countersign, Figures: []report.Figure{report.NewFigure(perCall, "ns", ours...), report.NewFigure(allocations, "", allocs)}}}
	if c.Limit != nil {
		row.Sides = append(row.Sides, report.Side{Name: c.LimitName, Figures: []report.Figure{report.NewFigure(perCall, "ns", bare...)}})
	}
	return row, err
}

// times returns how many calls a goroutine makes in a round.
func (c *Cost) times(call func() error) (int, error) {
	for times := 1; ; times *= 4 {
		var took []float64
		if err := c.round(call, times, &took); err != nil {
			return 0, err
		}
		if spent := time.Duration(took[0] * float64(times*c.Goroutines)); spent > costRound/8 {
			return int(float64(times)*float64(costRound)/float64(spent)) + 1, nil
		}
	}
}

// round appends what one call cost.
func (c *Cost) round(call func() error, times int, took *[]float64) error {
	runtime.GC()
	errs := make([]error, c.Goroutines)
	var running sync.WaitGroup
	began := time.Now()
	for g := range c.Goroutines {
		running.Go(func() {
			for range times {
				if err := call(); err != nil {
					errs[g] = err
					return
				}
			}
		})
	}
	running.Wait()
	*took = append(*took, float64(time.Since(began).Nanoseconds())/float64(times*c.Goroutines))
	return errors.Join(errs...)
}

// allocationsOf returns how often one call allocates.
func allocationsOf(call func() error) (n float64, err error) {
	average := testing.AllocsPerRun(1000, func() { err = errors.Join(err, call()) })
	return average, err
}
