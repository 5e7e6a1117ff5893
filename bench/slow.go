package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Slow is what clients that take their time do to others.
type Slow struct {
	Name    string             `json:"name"`
	Without []time.Duration    `json:"p99_without_ns"` // of ordinary requests, by round
	With    []time.Duration    `json:"p99_with_ns"`    // in the round beside it
	Ratio   float64            `json:"ratio"`          // median of the rounds
	Most    float64            `json:"most"`           // what it may be
	Ended   map[string]float64 `json:"ended_after_s"`  // when the last of each kind was hung up on
}

// disturb runs a load beside clients that take their time, and without them, in turn. Then it looks on until the last of them was hung
// up on, each of which must happen within the patience, and not at once.
func disturb(ctx context.Context, side Side, kinds []idler, rounds Rounds, patience time.Duration) (Slow, error) {
	result := Slow{Name: side.Name}
	calm := &course{side: side}
	if err := calm.warmUp(ctx, rounds.WarmUp); err != nil {
		return result, err
	}
	var ratios []float64
	for range rounds.Count {
		if err := calm.round(ctx, rounds.Each); err != nil {
			return result, err
		}
		c, err := gather(ctx, side.Load.Address, kinds, true)
		if err == nil {
			err = calm.warmUp(ctx, rounds.WarmUp) // until the answers that nobody takes have filled every buffer
		}
		if err == nil {
			err = calm.round(ctx, rounds.Each)
		}
		c.leave()
		if err = errors.Join(err, c.err); err != nil {
			return result, err
		}
		without, with := calm.samples[len(calm.samples)-2].P99, calm.samples[len(calm.samples)-1].P99
		result.Without, result.With = append(result.Without, without), append(result.With, with)
		ratios = append(ratios, float64(with)/float64(without))
	}
	result.Ratio = median(ratios)
	var err error
	result.Ended, err = outlast(ctx, side.Load.Address, kinds, time.Second, patience)
	return result, err
}

// outlast waits until every one of them was hung up on, and tells after how many seconds the last of each kind was. Whoever is sent away
// sooner than after least was not served at all.
func outlast(ctx context.Context, address string, kinds []idler, least, patience time.Duration) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := gather(ctx, address, kinds, false)
	c.all.Wait()
	if err = errors.Join(err, c.err); err != nil {
		return nil, err
	}
	seconds := map[string]float64{}
	for _, kind := range kinds {
		ended := c.ended[kind.name]
		if len(ended) < kind.count {
			return nil, fmt.Errorf("%d of %d clients with slow %s are still served after %v", kind.count-len(ended), kind.count, kind.name, patience)
		}
		if soonest := slices.Min(ended); soonest < least {
			return nil, fmt.Errorf("a client with slow %s was sent away after %v", kind.name, soonest)
		}
		seconds[kind.name] = slices.Max(ended).Seconds()
	}
	return seconds, nil
}

// slowTable is the result as a table.
func slowTable(all []Slow) string {
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| slow clients of | p99 of others | without them | ratio | at most | slow ones are hung up on after |\n|---|---|---|---|---|---|\n")
	for _, s := range all {
		var ended []string
		for _, kind := range slices.Sorted(maps.Keys(s.Ended)) {
			ended = append(ended, fmt.Sprintf("%s %.0f s", kind, s.Ended[kind]))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | **%.2f** | %.2f | %s |\n", s.Name, millis(median(s.With)), millis(median(s.Without)), s.Ratio, s.Most,
			strings.Join(ended, ", "))
	}
	return b.String()
}
