// Package report is what benchmarks write: results/NAME.json, with every round, and the same as tables in results/NAME.md.
//
// A [Report] has a [Row] for each kind of work, a row a [Side] for each program that did it, a side its [Figure]s. A [Verdict] is a figure, or
// the ratio of two sides', beside what it must be and what it shall become.
package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Report is what one benchmark found.
type Report struct {
	Name     string            `json:"name"`  // results/NAME.json is of `make bench-NAME`
	Title    string            `json:"title"` // above the tables
	Setting  string            `json:"setting"`
	Time     time.Time         `json:"time"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Rows     []Row             `json:"rows"`
	Plots    []Plot            `json:"plots,omitempty"`
	Notes    []string          `json:"notes,omitempty"` // limits of the comparison, a sentence each
}

// Row is one kind of work, done by each side in turn.
type Row struct {
	Work     string    `json:"work"`
	At       float64   `json:"at,omitempty"` // where on the X of a plot; rows of the same work differ by it. 0: it is in no plot
	AtUnit   string    `json:"at_unit,omitempty"`
	Sides    []Side    `json:"sides"` // ours first
	Verdicts []Verdict `json:"verdicts,omitempty"`
}

// Side is a program, or a way to run one, that did the work of a row.
type Side struct {
	Name    string   `json:"name"`
	Figures []Figure `json:"figures"`
	// CPU is milliseconds of processor time per 1,000 requests, by process, database and load included.
	CPU      map[string]float64 `json:"cpu_ms_per_1000_requests,omitempty"`
	Requests int                `json:"requests,omitempty"` // answered, the warm-up not counted
	Lacks    string             `json:"lacks,omitempty"`    // what it does not do that others do
}

// Figure is one thing that was measured of a side. Rows whose sides have figures of the same names share a table.
type Figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit,omitempty"`   // "ms", "KiB"; one that begins with a slash is said behind the name: requests/s
	Rounds []float64 `json:"rounds,omitempty"` // in their order
	Value  float64   `json:"value"`            // their median
}

// The names of figures that many benchmarks have.
const (
	Rate = "requests" // in PerSecond, of a closed loop
	P50  = "p50"      // in Millis
	P99  = "p99"
	P999 = "p99.9"

	PerSecond = "/s"
	Millis    = "ms"
)

// NewFigure returns a figure of rounds, of which there must be one.
func NewFigure(name, unit string, rounds ...float64) Figure {
	return Figure{Name: name, Unit: unit, Rounds: rounds, Value: Median(rounds)}
}

// Figure returns the side's figure of this name, or nil.
func (s *Side) Figure(name string) *Figure {
	n := slices.IndexFunc(s.Figures, func(f Figure) bool { return f.Name == name })
	if n < 0 {
		return nil
	}
	return &s.Figures[n]
}

// Side returns the row's side of this name, or nil.
func (r *Row) Side(name string) *Side {
	n := slices.IndexFunc(r.Sides, func(s Side) bool { return s.Name == name })
	if n < 0 {
		return nil
	}
	return &r.Sides[n]
}

// Median returns the middle value, or the mean of the two in the middle. There must be one.
func Median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Write puts the report into the folder, as NAME.json and as NAME.md, with its plots.
func (r *Report) Write(folder string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("make folder of results: %w", err)
	}
	files := map[string][]byte{r.Name + ".json": append(text, '\n'), r.Name + ".md": []byte(r.Markdown())}
	for _, p := range r.Plots {
		files[p.Name+".svg"] = r.draw(p)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil { //nolint:gosec // to be read
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// Read returns the report of this name that was written to the folder.
func Read(folder, name string) (*Report, error) {
	text, err := os.ReadFile(filepath.Join(folder, name+".json")) //nolint:gosec // a folder of ours
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	r := new(Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read report %s: %w", name, err)
	}
	return r, nil
}

// versions is what the report's programs are, as a sentence each.
func (r *Report) versions() string { return said(r.Versions) }

func said(versions map[string]string) (text string) {
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		text += fmt.Sprintf(" %s %s.", name, versions[name])
	}
	return text
}
