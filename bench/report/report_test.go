package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/bench/report"
)

func example() *report.Report {
	return &report.Report{
		Name: "x", Title: "X", Setting: "Here.", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: report.Machine{Processor: "P", Cores: 2, Memory: "1 kB", Kernel: "linux 6"}, Versions: map[string]string{"Go": "go1", "A": "2"},
		Notes: []string{"One does less."},
		Rows: []report.Row{
			{Work: "issue", Sides: []report.Side{
				{
					Name: "ours", CPU: map[string]float64{"server": 40, "load": 9.5},
					Figures: []report.Figure{report.NewFigure(report.Rate, report.PerSecond, 900, 1100, 1000), report.NewFigure(report.P99, report.Millis, 2)},
				},
				{Name: "limit", Lacks: "hashing", Figures: []report.Figure{report.NewFigure(report.Rate, report.PerSecond, 1234567, 2000, 2000)}},
			}},
			{Work: "introspect", Sides: []report.Side{
				{Name: "ours", Figures: []report.Figure{report.NewFigure(report.Rate, report.PerSecond, 1), report.NewFigure(report.P99, report.Millis, 0.125)}},
			}},
			{Work: "rest", Sides: []report.Side{{Name: "ours", Figures: []report.Figure{report.NewFigure("of each", "KiB", 13.44)}}}},
		},
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	written := example()
	if err := written.Rows[0].Judge(report.Verdict{Figure: report.Rate, Of: "ours", Beside: "limit", Floor: 0.3, Goal: 0.8}); err != nil {
		t.Error(err)
	}
	if err := written.Rows[0].Judge(report.Verdict{Figure: report.Rate, Of: "limit", Beside: "ours"}); err != nil {
		t.Error(err)
	}
	folder := filepath.Join(t.TempDir(), "results")
	if err := written.Write(folder); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(folder, "x.md"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `### X

Here.

| work | by | requests/s | p99, ms | CPU, ms per 1,000 requests | without |
|---|---|---|---|---|---|
| issue | ours | 1,000 (900–1,100) | 2 | load 9.50, server 40 |  |
|  | limit | 2,000 (2,000–1,234,567) | – |  | hashing |
| introspect | ours | 1 | 0.12 |  |  |

| work | by | of each, KiB |
|---|---|---|
| rest | ours | 13.4 |

| work | judged | is | floor | goal |
|---|---|---|---|---|
| issue | requests of ours beside limit | **50 %** | 30 % | 80 % |
| issue | requests of limit beside ours | **2 ×** | – | – |

One does less.

Measured on 2026-01-02: P, 2 cores, 1 kB of memory, linux 6. A 2. Go go1.
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	read, err := report.Read(folder, "x")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, read); diff != "" {
		t.Error(diff)
	}
	if _, err := report.Read(folder, "y"); err == nil {
		t.Error("read a report that was never written")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		verdict report.Verdict
		want    string // of the error
	}{
		{"a share above", report.Verdict{Figure: report.Rate, Of: "ours", Beside: "limit", Floor: 0.5}, ""},
		{"a share below", report.Verdict{Figure: report.Rate, Of: "ours", Beside: "limit", Floor: 0.6}, "requests of ours beside limit is 50 %, the floor is 60 %"},
		{"a multiple below", report.Verdict{Figure: report.Rate, Of: "limit", Beside: "ours", Floor: 40}, "requests of limit beside ours is 2 ×, the floor is 40 ×"},
		{"a ratio below", report.Verdict{Figure: report.Rate, Of: "ours", Beside: "limit", AtMost: true, Floor: 0.6}, ""},
		{"a ratio above", report.Verdict{Figure: report.Rate, Of: "ours", Beside: "limit", AtMost: true, Floor: 0.4}, "is 0.50 ×, the floor is 0.40 ×"},
		{"a figure below", report.Verdict{Figure: report.P99, Of: "ours", AtMost: true, Floor: 2}, ""},
		{"a figure above", report.Verdict{Figure: report.P99, Of: "ours", AtMost: true, Floor: 1.5}, "p99 of ours is 2 ms, the floor is 1.50 ms"},
		{"no such side", report.Verdict{Figure: report.P99, Of: "theirs"}, `no side "theirs"`},
		{"no such figure", report.Verdict{Figure: report.P99, Of: "ours", Beside: "limit"}, `limit has no figure "p99"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := example().Rows[0].Judge(tt.verdict)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Rounds that did not take turns are not compared.
func TestJudgeRounds(t *testing.T) {
	t.Parallel()
	row := example().Rows[0]
	row.Sides[1].Figures[0].Rounds = row.Sides[1].Figures[0].Rounds[:2]
	if err := row.Judge(report.Verdict{Figure: report.Rate, Of: "ours", Beside: "limit"}); err == nil || !strings.Contains(err.Error(), "3 rounds of ours beside 2") {
		t.Error(err)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]float64{
		"0": 0, "7": 7, "0.12": 0.125, "9.99": 9.99, "10.0": 9.996, "99.9": 99.94, "100": 99.96, "999": 999.4, "1,000": 999.6, "1,234,567": 1234567, "-1,234": -1234,
		"-123": -123,
	} {
		if got := report.Number(n); got != want {
			t.Errorf("%v is printed as %s, want %s", n, got, want)
		}
	}
}

func TestThisMachine(t *testing.T) {
	t.Parallel()
	if m := report.ThisMachine(); m.Cores < 1 || !strings.HasSuffix(m.Memory, " GiB") || m.Kernel == "linux unknown" {
		t.Errorf("%+v", m)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3},
	} {
		if got := report.Median(tt.of); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.of, got, tt.want)
		}
	}
}
