package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/countersign/countersign/bench/report"
)

// leftAlone is what is added to the name of a side without slow clients.
const leftAlone = ", left alone"

// disturb runs a load beside clients that take their time, and without them, in turn. Then it looks on until the last of them was hung
// up on, each of which must happen within the patience, and not at once. It returns the side beside them, and the side left alone.
func disturb(ctx context.Context, side Side, kinds []idler, rounds Rounds, patience time.Duration) ([]report.Side, error) {
	calm := &course{side: side}
	if err := calm.warmUp(ctx, rounds.WarmUp); err != nil {
		return nil, err
	}
	var with, without []float64
	for range rounds.Count {
		if err := calm.round(ctx, rounds.Each); err != nil {
			return nil, err
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
			return nil, err
		}
		last := len(calm.samples) - 1
		without, with = append(without, millis(calm.samples[last-1].P99)), append(with, millis(calm.samples[last].P99))
	}
	ended, err := outlast(ctx, side.Load.Address, kinds, time.Second, patience)
	figures := []report.Figure{report.NewFigure(report.P99, report.Millis, with...)}
	for _, kind := range slices.Sorted(maps.Keys(ended)) {
		figures = append(figures, report.NewFigure("last slow "+kind+" hung up on after", "s", ended[kind]))
	}
	return []report.Side{
		{Name: side.Name, Figures: figures},
		{Name: side.Name + leftAlone, Figures: []report.Figure{report.NewFigure(report.P99, report.Millis, without...)}},
	}, err
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
