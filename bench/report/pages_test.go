package report_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/bench/report"
)

var update = flag.Bool("update", false, "write pages, tables and plots anew from the results") //nolint:gochecknoglobals // a flag of the test

const root = "../.."

// What README and docs say of results is what was measured, and so are tables and plots: `go test ./bench/report -update` writes them anew.
func TestPages(t *testing.T) {
	t.Parallel()
	results := filepath.Join(root, "bench", "results")
	files, err := filepath.Glob(filepath.Join(results, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no results: %v", err)
	}
	for _, file := range files {
		r, err := report.Read(results, strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			t.Fatal(err)
		}
		folder := t.TempDir()
		if *update {
			folder = results
		}
		if err := r.Write(folder); err != nil {
			t.Fatal(err)
		}
		same(t, folder, results)
	}
	if *update {
		if err := report.UpdatePages(root); err != nil {
			t.Fatal(err)
		}
	}
	pages, err := report.Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	for page, want := range pages {
		if diff := cmp.Diff(want, read(t, filepath.Join(root, page))); diff != "" {
			t.Errorf("%s is not as bench/results: go test ./bench/report -update\n%s", page, diff)
		}
	}
}

// same checks that each file of a folder is in the other, as it is.
func same(t *testing.T, folder, other string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if diff := cmp.Diff(read(t, filepath.Join(folder, file.Name())), read(t, filepath.Join(other, file.Name()))); diff != "" {
			t.Errorf("%s is not as its results: go test ./bench/report -update\n%s", file.Name(), diff)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPagesInclude(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("README.md", "a\n<!-- bench:summary -->\nold\n<!-- /bench -->\nb\n<!-- bench:peers -->\n<!-- /bench -->\n<!-- bench:nothing -->\nold<!-- /bench -->\n")
	write("docs/performance.md", "<!-- bench:x -->\n<!-- /bench -->\n")
	write("docs/sizing.md", "<!-- bench:sizing -->\n<!-- /bench -->\n")
	r := example()
	r.Plots = []report.Plot{{Name: "x-rate", Title: "Rate", Figures: []string{report.Rate}}}
	if err := r.Rows[0].Judge(report.Verdict{Figure: report.Rate, Of: "ours", Beside: "limit", Floor: 0.6, Goal: 0.8, Summary: "issuing"}); err == nil {
		t.Error("50 % is not below 60 %")
	}
	if err := r.Rows[1].Judge(report.Verdict{Figure: report.P99, Of: "ours", AtMost: true, Floor: 2, Summary: "p99"}); err != nil {
		t.Error(err)
	}
	if err := r.Write(filepath.Join(folder, "bench", "results")); err != nil {
		t.Fatal(err)
	}
	r.Name = "peers"
	if err := r.Write(filepath.Join(folder, "bench", "results")); err != nil {
		t.Fatal(err)
	}
	if err := report.UpdatePages(folder); err != nil {
		t.Fatal(err)
	}
	const table = `| issuing | 1,000/s | limit | 2,000/s | **50 %**, missed | 60 % | 80 % |
| p99 | 0.12 ms |  | – | **0.12 ms** | ≤ 2 ms | – |
`
	const measured = "2026-01-02: P, 2 cores, 1 kB of memory, linux 6. A 2. Go go1.\n"
	want := "a\n<!-- bench:summary -->\n| what | Countersign | beside it | | is | floor | goal |\n|---|---|---|---|---|---|---|\n" + table + table +
		"\nMeasured until " + measured + "<!-- /bench -->\nb\n<!-- bench:peers -->\n| program | issue | introspect | without |\n|---|---|---|---|\n" +
		"| ours | 1,000/s | 1/s |  |\n| limit | 2,000/s | – | hashing |\n\nMeasured on " + measured +
		"<!-- /bench -->\n<!-- bench:nothing -->\n<!-- /bench -->\n"
	if diff := cmp.Diff(want, read(t, filepath.Join(folder, "README.md"))); diff != "" {
		t.Error(diff)
	}
	if got := read(t, filepath.Join(folder, "docs", "performance.md")); !strings.Contains(got, "\n![Rate](../bench/results/x-rate.svg)\n") || !strings.Contains(got, "| issue | ours |") {
		t.Error(got)
	}
}
