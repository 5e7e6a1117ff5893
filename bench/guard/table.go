package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Figures are what one operation costs.
type Figures struct {
	Allocations, Bytes int64
	Instructions       int64 // 0: not counted
}

// Row is a hot path, which is a benchmark, and what is expected of it.
type Row struct {
	Package   string // its folder, from the repository's root
	Benchmark string // as go test prints it: BenchmarkEndpoints/token/jwt
	Times     int    // how many operations are measured
	Tolerance int64  // in percent, of each figure
	Want      Figures
}

// Table is the file of what is expected.
type Table struct {
	Comment  []string // the lines before the figures, each with its #
	Platform Platform
	Rows     []Row
}

// columns name the fields of a row in the file.
func columns() []string {
	return []string{"package", "times", "±%", "allocs", "bytes", "instructions", "benchmark"}
}

// Parse reads a Table: comments, a line of Go's version and the architecture, the names of the columns, rows.
func Parse(text []byte) (*Table, error) {
	t := &Table{}
	head := 0 // how many lines of it were seen
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
			t.Comment = append(t.Comment, line)
		case len(fields) == 0:
		case head == 0 && len(fields) == 2:
			head, t.Platform = 1, Platform{Go: fields[0], Arch: fields[1]}
		case head == 1 && strings.Join(fields, " ") == strings.Join(columns(), " "):
			head = 2
		case head == 2:
			row, err := parseRow(fields)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			t.Rows = append(t.Rows, row)
		default:
			return nil, fmt.Errorf("line %d: neither Go's version and the architecture nor the names of the columns", i+1)
		}
	}
	if len(t.Rows) == 0 {
		return nil, errors.New("no rows")
	}
	return t, nil
}

func parseRow(fields []string) (Row, error) {
	if len(fields) != len(columns()) {
		return Row{}, fmt.Errorf("%d fields instead of %d", len(fields), len(columns()))
	}
	var numbers [5]int64
	for i := range numbers {
		n, err := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil || n < 0 {
			return Row{}, fmt.Errorf("%s: %q is no number", columns()[i+1], fields[i+1])
		}
		numbers[i] = n
	}
	if numbers[0] < 1 || numbers[0] > 1_000_000 {
		return Row{}, fmt.Errorf("times: %d is not within 1 and 1000000", numbers[0])
	}
	return Row{
		Package: fields[0], Benchmark: fields[6], Times: int(numbers[0]), Tolerance: numbers[1],
		Want: Figures{Allocations: numbers[2], Bytes: numbers[3], Instructions: numbers[4]},
	}, nil
}

// Text is the file, which Parse reads.
func (t *Table) Text() []byte {
	var out bytes.Buffer
	for _, line := range t.Comment {
		fmt.Fprintln(&out, line)
	}
	fmt.Fprintf(&out, "\n%s %s\n\n", t.Platform.Go, t.Platform.Arch)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns(), "\t"))
	for _, r := range t.Rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", r.Package, r.Times, r.Tolerance, r.Want.Allocations, r.Want.Bytes, r.Want.Instructions, r.Benchmark)
	}
	_ = w.Flush()
	return out.Bytes()
}

// take makes what was found what is expected.
func (t *Table) take(p Platform, found []Figures) {
	t.Platform = p
	for i := range t.Rows {
		t.Rows[i].Want = found[i]
	}
}
