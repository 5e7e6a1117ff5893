package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const example = `# What may be spent.
# More of it.

go1.26 amd64+avx2

package  times  ±%  allocs  bytes  instructions  benchmark
server   500    3   100     1000   50000         BenchmarkEndpoints/token/jwt
lb       10000  5   0       1      32            BenchmarkPick/round_robin
`

func exampleTable() *Table {
	return &Table{
		Comment: []string{"# What may be spent.", "# More of it."}, Platform: Platform{Go: "go1.26", Arch: "amd64+avx2"},
		Rows: []Row{
			{"server", "BenchmarkEndpoints/token/jwt", 500, 3, Figures{100, 1000, 50000}},
			{"lb", "BenchmarkPick/round_robin", 10000, 5, Figures{0, 1, 32}},
		},
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	table, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleTable(), table); diff != "" {
		t.Error(diff)
	}
	if got := string(table.Text()); got != example {
		t.Errorf("written:\n%s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"no platform":            {"go1.26 amd64+avx2\n", ""},
		"other columns":          {"allocs", "allocations"},
		"a field too many":       {"round_robin", "round robin"},
		"a figure that is none":  {"50000", "many"},
		"a figure below nothing": {"50000", "-1"},
		"no times":               {"500    3", "0      3"},
		"too many times":         {"10000  5", "1000001 5"},
		"no rows":                {example[strings.Index(example, "server  "):], ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Replace(example, change[0], change[1], 1)
			if changed == example {
				t.Fatal("nothing was changed")
			}
			if table, err := Parse([]byte(changed)); err == nil {
				t.Errorf("%+v, want an error", table)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		found Figures // of the first row
		said  string  // a part of it
		worse bool
	}{
		{"as expected", Figures{100, 1000, 50000}, "2 hot paths cost what is expected.\n", false},
		{"within the tolerance", Figures{103, 1030, 51500}, "2 hot paths cost what is expected.\n", false},
		{"not counted", Figures{100, 1000, 0}, "2 hot paths cost what is expected.\n", false},
		{"more allocations", Figures{104, 1000, 50000}, "WORSE   server BenchmarkEndpoints/token/jwt: 104 allocations per operation instead of 100 (at most 103)\n", true},
		{"more bytes", Figures{100, 1031, 50000}, "1031 bytes per operation instead of 1000", true},
		{"more instructions", Figures{100, 1000, 51501}, "51501 instructions per operation instead of 50000", true},
		{"less", Figures{90, 1000, 50000}, "better  server BenchmarkEndpoints/token/jwt: 90 allocations per operation instead of 100\n", false},
		{"less and more", Figures{90, 1000, 60000}, "WORSE ", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var said strings.Builder
			table := exampleTable()
			err := table.Compare(&said, []Figures{tt.found, {0, 1 + fewBytes, 32 + fewInstructions}})
			if (err != nil) != tt.worse || !strings.Contains(said.String(), tt.said) {
				t.Errorf("%v, said:\n%s", err, &said)
			}
			if changed := tt.said != "2 hot paths cost what is expected.\n"; changed != strings.Contains(said.String(), "make bench-check-update") {
				t.Errorf("said:\n%s", &said)
			}
		})
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	table, want := exampleTable(), exampleTable()
	want.Platform, want.Rows[0].Want, want.Rows[1].Want = Platform{"go1.27", "arm64"}, Figures{1, 2, 3}, Figures{4, 5, 6}
	table.take(want.Platform, []Figures{{1, 2, 3}, {4, 5, 6}})
	if diff := cmp.Diff(want, table); diff != "" {
		t.Error(diff)
	}
}

// TestExpected: what is checked in is as `make bench-check-update` writes it, and names benchmarks that there are.
func TestExpected(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Base(file))
	if err != nil {
		t.Fatal(err)
	}
	table, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(table.Text()); got != string(text) {
		t.Errorf("expected.txt would be written as:\n%s", got)
	}
	for _, r := range table.Rows {
		if n := countFunctions(t, filepath.Join("..", "..", filepath.FromSlash(r.Package)), r.Benchmark); n != 1 {
			t.Errorf("%s has %d functions for %s, want 1", r.Package, n, r.Benchmark)
		}
	}
}

func countFunctions(t *testing.T, dir, benchmark string) (n int) {
	t.Helper()
	name, _, _ := strings.Cut(benchmark, "/")
	function := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n += len(function.FindAllIndex(text, -1))
	}
	return n
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	var got [][]int
	for _, g := range grouped([]Row{{Package: "a", Times: 1}, {Package: "b", Times: 1}, {Package: "a", Times: 1}, {Package: "a", Times: 2}}, "") {
		got = append(got, g.rows)
	}
	if diff := cmp.Diff([][]int{{0, 2}, {1}, {3}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPattern(t *testing.T) {
	t.Parallel()
	const want = `^BenchmarkPick$/^round_robin$|^BenchmarkText$/^a\.b$/^c$`
	if got := Pattern([]string{"BenchmarkPick/round_robin", "BenchmarkText/a.b/c"}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAllocated(t *testing.T) {
	t.Parallel()
	got, err := Allocated("goos: linux\nBenchmarkA/b,_c \t 500\t  1234 ns/op\t 36.5 ns/row\t 14726 B/op\t 135 allocs/op\n" +
		"BenchmarkB\t 10\t 5 ns/op\nBenchmarkC-1 1 5 ns/op 0 B/op 0 allocs/op\nPASS\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]Figures{"BenchmarkA/b,_c": {Allocations: 135, Bytes: 14726}, "BenchmarkC-1": {}}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, line := range []string{"BenchmarkA 1 1 ns/op x B/op 0 allocs/op\n", "BenchmarkA 1 1 ns/op 0 B/op x allocs/op\n"} {
		if got, err := Allocated(line); err == nil {
			t.Errorf("%q: %v, want an error", line, got)
		}
	}
}

func TestDumps(t *testing.T) {
	t.Parallel()
	got := Dumps(`==7== Callgrind
--7-- Dump to /tmp/dump.1
BenchmarkA
--7-- Dump to /tmp/dump.2
BenchmarkA    --7-- Dump to /tmp/dump.3
     500	 1234 ns/op	 0 B/op	 0 allocs/op
BenchmarkB/c  --7-- Dump to /tmp/dump.4
--7-- Dump to /tmp/dump.5
     500	 1234 ns/op
--7-- Dump to /tmp/dump.6
PASS
`)
	if want := map[string]string{"BenchmarkA": "/tmp/dump.3", "BenchmarkB/c": "/tmp/dump.5"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTotal(t *testing.T) {
	t.Parallel()
	if got, err := Total("# callgrind format\nevents: Ir\n\ntotals: 123456789\n"); got != 123456789 || err != nil {
		t.Error(got, err)
	}
	for _, text := range []string{"", "totals: many\n"} {
		if got, err := Total(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestPlatform(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"go1.26.8": "go1.26", "go1.26": "go1.26", "go1.27rc1": "go1.27rc1", "devel": "devel"} {
		if got := minor(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
	here, there := Platform{"go1.26", "amd64+avx2"}, Platform{"go1.26", "amd64"}
	none := func(string) (string, error) { return "", os.ErrNotExist }
	valgrind := func(program string) (string, error) { return "/usr/bin/" + program, nil }
	for _, tt := range []struct {
		name   string
		want   Platform
		update bool
		look   func(string) (string, error)
		why    string // a part of it
	}{
		{"the same", here, false, valgrind, ""},
		{"another", there, false, valgrind, "is of go1.26 on amd64, and this is go1.26 on amd64+avx2"},
		{"another, taken anew", there, true, valgrind, ""},
		{"no valgrind", here, false, none, "no valgrind"},
		{"no valgrind, taken anew", here, true, none, "no valgrind"},
	} {
		if got := here.uncounted(tt.want, tt.update, tt.look); !strings.Contains(got, tt.why) || (got == "") != (tt.why == "") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.why)
		}
	}
}
