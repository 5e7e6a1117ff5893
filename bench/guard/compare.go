package main

import (
	"errors"
	"fmt"
	"io"
)

// What is so little more is no change: something is done once, and is spread over all operations of a run.
const (
	fewBytes        = 16
	fewInstructions = 3
)

// Compare writes to w what of found, which goes with t's rows, is beyond the tolerance, and reports an error if something is worse.
// What became better is said, but no error: the figures are taken anew with the change that brought it.
func (t *Table) Compare(w io.Writer, found []Figures) error {
	worse, better := 0, 0
	for i, r := range t.Rows {
		for _, f := range []struct {
			name               string
			want, found, least int64
		}{
			{"allocations", r.Want.Allocations, found[i].Allocations, 0},
			{"bytes", r.Want.Bytes, found[i].Bytes, fewBytes},
			{"instructions", r.Want.Instructions, found[i].Instructions, fewInstructions},
		} {
			margin := max(f.want*r.Tolerance/100, f.least)
			switch {
			case f.name == "instructions" && f.found == 0: // not counted
			case f.found > f.want+margin:
				worse++
				fmt.Fprintf(w, "WORSE   %s %s: %d %s per operation instead of %d (at most %d)\n", r.Package, r.Benchmark, f.found, f.name, f.want, f.want+margin)
			case f.found < f.want-margin:
				better++
				fmt.Fprintf(w, "better  %s %s: %d %s per operation instead of %d\n", r.Package, r.Benchmark, f.found, f.name, f.want)
			}
		}
	}
	if worse+better > 0 {
		fmt.Fprintf(w, "`make bench-check-update` writes what is found to %s. Commit that with the change that it comes from, which says why it is wanted.\n", file)
	} else {
		fmt.Fprintf(w, "%d hot paths cost what is expected.\n", len(t.Rows))
	}
	if worse > 0 {
		return errors.New("hot paths cost more than before")
	}
	return nil
}
