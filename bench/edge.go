package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The processes of a Side that do not stand between client and upstream.
const (
	loadProcess     = "load"
	upstreamProcess = "upstream"
)

// bareProxy is the side that all others are compared with.
const bareProxy = "bare ReverseProxy"

// EdgeRow is one way from the client to the upstream.
type EdgeRow struct {
	Figures
	// Micros is the processor time per request, in microseconds, of all processes between client and upstream: of each round, and
	// the median.
	Micros []float64 `json:"between_us_per_request_by_round"`
	Median float64   `json:"between_us_per_request"`
	// Ratio is that beside the bare proxy's, the median of the rounds. 0: nothing stands between.
	Ratio float64 `json:"times_the_bare_proxy"`
}

// Bound is how much processor time one row may take beside another.
type Bound struct {
	Row    string  `json:"row"`
	Beside string  `json:"beside"`
	Most   float64 `json:"most"`
	Got    float64 `json:"got"` // the median of the rounds
}

// race runs all sides in turn. One of them is the bare proxy.
func race(ctx context.Context, rounds Rounds, sides []Side) ([]EdgeRow, error) {
	courses := make([]*course, len(sides))
	for n, side := range sides {
		courses[n] = &course{side: side}
	}
	if err := takeTurns(ctx, rounds, courses...); err != nil {
		return nil, err
	}
	rows := make([]EdgeRow, 0, len(sides))
	for _, c := range courses {
		row := EdgeRow{Figures: c.figures()}
		for n, spent := range c.spent {
			row.Micros = append(row.Micros, between(spent)*1e6/float64(c.samples[n].Answers))
		}
		row.Median = median(row.Micros)
		rows = append(rows, row)
	}
	bare := slices.IndexFunc(rows, func(r EdgeRow) bool { return r.Name == bareProxy })
	for n := range rows {
		rows[n].Ratio = beside(rows[n], rows[bare])
	}
	return rows, nil
}

// between returns the seconds of the processes between client and upstream.
func between(spent map[string]time.Duration) (seconds float64) {
	for name, d := range spent {
		if name != loadProcess && name != upstreamProcess {
			seconds += d.Seconds()
		}
	}
	return seconds
}

// only returns the process between client and upstream.
func (s Side) only() int {
	for name, pid := range s.PIDs {
		if name != loadProcess && name != upstreamProcess {
			return pid
		}
	}
	return 0
}

// beside returns the median of the ratios of rounds that took turns.
func beside(row, other EdgeRow) float64 {
	var ratios []float64
	for n, micros := range row.Micros {
		ratios = append(ratios, micros/other.Micros[n])
	}
	return median(ratios)
}

// Edge is the report of what stands in front of services.
type Edge struct {
	Setting  string            `json:"setting"`
	Time     time.Time         `json:"time"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Rows     []EdgeRow         `json:"rows"`
	Bounds   []Bound           `json:"bounds"`
	Idle     []Idle            `json:"idle_connections"`
	Slow     []Slow            `json:"slow_clients"`
}

// check works a bound out. Its rows must be there.
func (e *Edge) check(bound Bound) error {
	row := slices.IndexFunc(e.Rows, func(r EdgeRow) bool { return r.Name == bound.Row })
	other := slices.IndexFunc(e.Rows, func(r EdgeRow) bool { return r.Name == bound.Beside })
	if row < 0 || other < 0 {
		return fmt.Errorf("no row %q or %q", bound.Row, bound.Beside)
	}
	bound.Got = beside(e.Rows[row], e.Rows[other])
	e.Bounds = append(e.Bounds, bound)
	if bound.Got > bound.Most {
		return fmt.Errorf("%s takes %.2f times the processor time of %s, %.2f is the most", bound.Row, bound.Got, bound.Beside, bound.Most)
	}
	return nil
}

// write puts the report into the folder, as JSON and as tables.
func (e *Edge) write(folder string) error { return writeResults(folder, "edge", e, e.markdown()) }

func (e *Edge) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Gateway and load balancer\n\n%s\n\n", e.Setting)
	b.WriteString("| between client and upstream | requests/s | p50 | p99 | CPU, µs per request | of which | beside the bare proxy |\n|---|---|---|---|---|---|---|\n")
	for _, row := range e.Rows {
		micros, parts, ratio := "–", "–", "–"
		if row.Ratio > 0 {
			micros, parts, ratio = fmt.Sprintf("%.1f", row.Median), row.parts(), fmt.Sprintf("**%.2f**", row.Ratio)
		}
		fmt.Fprintf(&b, "| %s | %s ± %.0f%% | %s | %s | %s | %s | %s |\n", row.Name, thousands(row.Rate), row.Spread()*50,
			millis(row.P50), millis(row.P99), micros, parts, ratio)
	}
	if len(e.Bounds) > 0 {
		b.WriteString("\n| CPU per request of | beside | is | at most |\n|---|---|---|---|\n")
	}
	for _, bound := range e.Bounds {
		fmt.Fprintf(&b, "| %s | %s | **%.2f** | %.2f |\n", bound.Row, bound.Beside, bound.Got, bound.Most)
	}
	b.WriteString(idleTable(e.Idle) + slowTable(e.Slow))
	fmt.Fprintf(&b, "\nMeasured on %s: %s, %d cores, %s of memory, %s.\n", e.Time.Format(time.DateOnly), e.Machine.Processor,
		e.Machine.Cores, e.Machine.Memory, e.Machine.Kernel)
	for _, name := range slices.Sorted(maps.Keys(e.Versions)) {
		fmt.Fprintf(&b, "%s %s. ", name, e.Versions[name])
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

// parts says which process takes how much, if there are several. Each share is that of all rounds together.
func (r EdgeRow) parts() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.CPU)) {
		if name != loadProcess && name != upstreamProcess {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, r.CPU[name]*1000))
		}
	}
	if len(parts) < 2 {
		return "–"
	}
	return strings.Join(parts, ", ")
}
