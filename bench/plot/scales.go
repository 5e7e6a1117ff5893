package plot

import (
	"math"
	"slices"
)

// scales map values of a panel to the drawing.
type scales struct {
	left, base    float64 // where the axes meet
	places, ticks []float64
	least, most   float64 // of Y, as logarithms if log
	log           bool
}

func newScales(p *Panel, at spot) scales {
	s := scales{left: at.x, base: at.y, log: p.Y.Log}
	low, high := math.Inf(1), 0.0
	for _, line := range p.Lines {
		for _, point := range line.Points {
			if !slices.Contains(s.places, point.X) {
				s.places = append(s.places, point.X)
			}
			low, high = min(low, point.Y, point.Least), max(high, point.Y, point.Most)
		}
	}
	slices.Sort(s.places)
	if high == 0 {
		low, high = 1, 1 // nothing is to be drawn, or nothing but zeros
	}
	if s.log {
		s.ticks = decades(low, high)
	} else {
		s.ticks = steps(high)
	}
	s.least, s.most = s.along(s.ticks[0]), s.along(s.ticks[len(s.ticks)-1])
	return s
}

func (s *scales) along(value float64) float64 {
	if s.log {
		return math.Log10(value)
	}
	return value
}

func (s *scales) y(value float64) float64 {
	return s.base - panelHeight*(s.along(value)-s.least)/(s.most-s.least)
}

func (s *scales) x(value float64) float64 {
	return s.left + panelWidth*(float64(slices.Index(s.places, value))+0.5)/float64(len(s.places))
}

// steps are round numbers from 0 to above high, at most seven.
func steps(high float64) (ticks []float64) {
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, share := range []float64{5, 2, 1} {
		if finer := step / share; high/finer <= 6 {
			step = finer
			break
		}
	}
	for n := 0; ; n++ {
		ticks = append(ticks, float64(n)*step)
		if ticks[n] >= high {
			return ticks
		}
	}
}

// decades are powers of ten, doubled and fivefold ones between them if they are few, from below low to above high.
func decades(low, high float64) (ticks []float64) {
	factors := []float64{1, 2, 5}
	if high/low > 1000 {
		factors = []float64{1}
	}
	for power := math.Floor(math.Log10(low)); ; power++ {
		for _, factor := range factors {
			tick := math.Pow(10, power) * factor
			if len(ticks) == 1 && tick <= low {
				ticks = ticks[:0] // the one before is not needed
			}
			ticks = append(ticks, tick)
			if tick >= high && len(ticks) > 1 {
				return ticks
			}
		}
	}
}
