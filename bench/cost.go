package bench

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Cost is what one call costs, in the same process as its limit.
type Cost struct {
	Work       string    `json:"work"`
	Limit      string    `json:"limit,omitempty"`      // what it stands beside; empty: nothing
	Goroutines int       `json:"goroutines"`           // that call at once
	Ours       []float64 `json:"ns"`                   // per call, by round; with several goroutines the time of all over the calls of all
	Bare       []float64 `json:"limit_ns,omitempty"`   // of the limit, in the round beside it
	Allocs     int64     `json:"allocations"`          // per call of ours
	Times      float64   `json:"times_the_limit"`      // median of the rounds' ratios
	Most       float64   `json:"most_times,omitempty"` // what Times may be
	MostNS     float64   `json:"most_ns,omitempty"`    // what the median of Ours may be
}

const (
	costRounds = 9                      // in which the two sides take turns
	costRound  = 300 * time.Millisecond // of one side, about
)

// measure has both calls made in turn by so many goroutines. limit may be nil.
func (c *Cost) measure(ours, limit func() error) error {
	times, err := c.times(ours)
	if err != nil {
		return err
	}
	var limits int
	if limit != nil {
		if limits, err = c.times(limit); err != nil {
			return err
		}
	}
	var ratios []float64
	for n := range costRounds {
		sides := []func() error{
			func() error { return c.round(ours, times, &c.Ours) },
			func() error { return c.round(limit, limits, &c.Bare) },
		}
		if limit == nil {
			sides = sides[:1]
		}
		if n%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := side(); err != nil {
				return err
			}
		}
		if limit != nil {
			ratios = append(ratios, c.Ours[n]/c.Bare[n])
		}
	}
	if limit != nil {
		c.Times = median(ratios)
	}
	c.Allocs, err = c.allocations(ours)
	return err
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

// allocations returns how often one call allocates.
func (c *Cost) allocations(call func() error) (n int64, err error) {
	average := testing.AllocsPerRun(1000, func() { err = errors.Join(err, call()) })
	return int64(average), err
}

// over tells what the cost is above what it may be.
func (c *Cost) over() error {
	switch {
	case c.Most > 0 && c.Times > c.Most:
		return fmt.Errorf("%s: %.2f times the limit, %.2f is the most", c.Work, c.Times, c.Most)
	case c.MostNS > 0 && median(c.Ours) > c.MostNS:
		return fmt.Errorf("%s: %.0f ns, %.0f is the most", c.Work, median(c.Ours), c.MostNS)
	}
	return nil
}

// Costs is a report of them.
type Costs struct {
	Name    string    `json:"name"`
	Title   string    `json:"title"`
	Time    time.Time `json:"time"`
	Machine Machine   `json:"machine"`
	Go      string    `json:"go"`
	Rows    []*Cost   `json:"rows"`
}

// write puts the report into the folder, as JSON and as a table.
func (r *Costs) write(folder string) error {
	return writeResults(folder, r.Name, r, r.markdown())
}

func (r *Costs) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n| work | goroutines | ns per call | allocations | beside | its ns | ratio | at most |\n|---|---|---|---|---|---|---|---|\n", r.Title)
	for _, c := range r.Rows {
		beside, bare, ratio, most := "–", "–", "–", fmt.Sprintf("%.0f ns", c.MostNS)
		if c.Limit != "" {
			beside, bare, ratio, most = c.Limit, nanoseconds(median(c.Bare)), fmt.Sprintf("**%.2f**", c.Times), fmt.Sprintf("%.2f", c.Most)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %d | %s | %s | %s | %s |\n", c.Work, c.Goroutines, nanoseconds(median(c.Ours)), c.Allocs, beside, bare, ratio, most)
	}
	fmt.Fprintf(&b, "\nMeasured on %s: %s, %d cores, %s of memory, %s, %s.\n", r.Time.Format(time.DateOnly), r.Machine.Processor,
		r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel, r.Go)
	return b.String()
}

func nanoseconds(ns float64) string {
	if ns < 100 {
		return fmt.Sprintf("%.1f", ns)
	}
	return thousands(ns)
}
