package report_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/bench/report"
)

// measured is a report in which everything costs round figures.
func measured() *report.Report {
	r := example()
	costs := func(name string, server, database float64, figures map[string]float64) report.Side {
		side := report.Side{Name: name, CPU: map[string]float64{"server": server, "MariaDB": database}}
		for figure, value := range figures {
			side.Figures = append(side.Figures, report.NewFigure(figure, "", value))
		}
		return side
	}
	token := func(records float64) []report.Side {
		return []report.Side{
			costs(report.Alone, 1000, 500, map[string]float64{
				report.Statements: 2, report.Flushes: 2, report.RedoLog: 600, report.BinaryLog: 400, report.RedisCommands: records,
			}),
			costs(report.FourInstances, 300, 100, nil),
		}
	}
	wire := func(name string) report.Side {
		return costs(name, 0, 0, map[string]float64{report.RequestBytes: 300, report.AnswerBytes: 700})
	}
	r.Rows = []report.Row{
		{Work: report.IdleWork, Sides: []report.Side{costs(report.AnInstance, 0, 0, map[string]float64{report.Statements: 16, report.RedisCommands: 1})}},
		{Work: report.JWTCosts, Sides: token(0)},
		{Work: report.OpaqueCosts, Sides: token(1)},
		{Work: report.SightCosts, Sides: []report.Side{costs(report.InRedis, 200, 0, map[string]float64{report.RedisCommands: 1})}},
		{Work: report.PollCosts, Sides: []report.Side{costs(report.OneInstance, 50, 0, nil)}},
		{Work: report.WireWork, Sides: []report.Side{wire(report.AsJWT), wire(report.AsOpaque), wire(report.Introspection), wire(report.Poll)}},
		{Work: report.KeptWork, Sides: []report.Side{costs(report.Ours, 0, 0, map[string]float64{report.DiskBytes: 400, report.DataFiles: 500, report.MemoryBytes: 300})}},
	}
	return r
}

// The last column is 10,000 services, worked out by hand.
func TestSizing(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for line := range strings.Lines(report.Sizing(measured())) {
		if cells := strings.Split(line, " | "); len(cells) == 5 {
			got[strings.TrimPrefix(cells[0], "| ")] = strings.TrimSuffix(cells[4], " |\n")
		}
	}
	for what, want := range map[string]string{
		"instances of services, *I*":   "50,000",       // 10,000 × 5
		"tokens/s, *T*":                "92.6 / 4,167", // 250,000 held ÷ 2,700 s; ÷ 60 s
		"introspections/s, *Q*":        "92.6 / 4,167", // a fifth of the tokens, at five instances each
		"polls/s, *V*":                 "150,000",      // three each
		"cores of the servers":         "7.61 / 9.58",  // 0.0926 + 0.0185 + 7.5; 1.25 + 0.83 + 7.5
		"of them for polls":            "7.50",         //
		"servers, *S*":                 "10",           // 9.58 ÷ 1
		"connections to the database":  "180",          //
		"commits/s, *C*":               "92.6 / 4,167", // fewer than 10 × 500
		"statements/s":                 "345 / 8,493",  // 10 × 16 + 2 × 92.6; + 2 × 4,167
		"fsyncs/s":                     "185 / 8,333",
		"written by MariaDB, kB/s":     "139 / 6,250", // 1,500 bytes
		"cores of MariaDB":             "0.05 / 0.42", // 500 µs; 100 µs
		"rows":                         "1,000,000",   // 92.6 × 8,100 + 250,000
		"on the disk, MB":              "400",         // 400 bytes
		"operations of Redis, /s":      "121 / 5,010", // 10 + 0.2 × 92.6 + 92.6
		"memory of Redis, MB":          "35",          // (333,333 + 250,000) × 0.2 × 300
		"network of the servers, MB/s": "150 / 158",   // 1,000 bytes each
	} {
		if got[what] != want {
			t.Errorf("%s: %q, not %q", what, got[what], want)
		}
	}
	few := report.Sizing(measured())
	if !strings.Contains(few, "| servers, *S* | cores ÷ (2 × 0.50), at least 2 | 2 | 2 | 10 |") {
		t.Error(few)
	}
}

// What was not measured leaves no table with holes.
func TestSizingNeedsAll(t *testing.T) {
	t.Parallel()
	for n := range measured().Rows {
		r := measured()
		r.Rows = slices.Delete(r.Rows, n, n+1)
		if got := report.Sizing(r); got != "" {
			t.Errorf("without row %d: %s", n, got)
		}
	}
}
