package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// group is what one process measures: benchmarks of a package that are run equally often.
type group struct {
	dir    string // of the package
	binary string
	times  int
	rows   []int // indexes of rows
	names  []string
}

// grouped returns rows as groups, whose binaries are going to be in scratch.
func grouped(rows []Row, scratch string) []*group {
	var groups []*group
	for i, r := range rows {
		var of *group
		for _, g := range groups {
			if g.dir == r.Package && g.times == r.Times {
				of = g
			}
		}
		if of == nil {
			of = &group{dir: r.Package, binary: filepath.Join(scratch, fmt.Sprintf("%d.test", i)), times: r.Times}
			groups = append(groups, of)
		}
		of.rows, of.names = append(of.rows, i), append(of.names, r.Benchmark)
	}
	return groups
}

// measure runs the benchmark of each row and returns what it costs, in the order of rows. It counts instructions if counted says so.
func measure(ctx context.Context, rows []Row, counted bool) ([]Figures, error) {
	scratch, err := os.MkdirTemp("", "guard")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	found := make([]Figures, len(rows))
	jobs, ctx := errgroup.WithContext(ctx)
	jobs.SetLimit(runtime.NumCPU())
	for _, g := range grouped(rows, scratch) {
		jobs.Go(func() error {
			if err := g.measure(ctx, found, counted); err != nil {
				return fmt.Errorf("%s: %w", g.dir, err)
			}
			return nil
		})
	}
	return found, jobs.Wait()
}

// measure fills in the elements of found that are the group's.
func (g *group) measure(ctx context.Context, found []Figures, counted bool) error {
	if err := g.build(ctx); err != nil {
		return err
	}
	allocated, err := g.allocated(ctx)
	if err != nil {
		return err
	}
	instructions := map[string]int64{}
	if counted {
		if instructions, err = g.instructions(ctx); err != nil {
			return err
		}
	}
	for i, name := range g.names {
		f, ok := allocated[name]
		f.Instructions = instructions[name]
		if !ok || counted && f.Instructions == 0 {
			return fmt.Errorf("no result of %s, which %s names", name, file)
		}
		found[g.rows[i]] = f
	}
	return nil
}
