package bench

import (
	"context"
	"time"

	"github.com/countersign/countersign/bench/report"
)

// upstreamProcess does not stand between client and upstream.
const upstreamProcess = "upstream"

// bareProxy is the side that all others are compared with.
const bareProxy = "bare ReverseProxy"

// cpuBetween is the figure of the processor time per request, in µs, of all processes between client and upstream.
const cpuBetween = "CPU between"

// race compares ways from the client to the upstream.
func race(ctx context.Context, rounds Rounds, sides []Side) (report.Row, error) {
	row := report.Row{Work: "a request with an ES256 JWT"}
	courses, err := takeTurns(ctx, rounds, sides)
	for _, c := range courses {
		side := c.result()
		if c.side.only() != 0 {
			side.Figures = append(side.Figures, c.between())
		}
		row.Sides = append(row.Sides, side)
	}
	return row, err
}

// between returns the time of the processes between client and upstream, round by round.
func (c *course) between() report.Figure {
	rounds := make([]float64, 0, len(c.spent))
	for n, spent := range c.spent {
		var sum time.Duration
		for name, d := range spent {
			if name != loadProcess && name != upstreamProcess {
				sum += d
			}
		}
		rounds = append(rounds, sum.Seconds()*1e6/float64(c.samples[n].Answers))
	}
	return report.NewFigure(cpuBetween, "µs", rounds...)
}

// only returns a process between client and upstream, 0 if there is none.
func (s Side) only() int {
	for name, pid := range s.PIDs {
		if name != upstreamProcess {
			return pid
		}
	}
	return 0
}
