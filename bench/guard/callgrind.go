package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// instructions runs the benchmarks under valgrind and returns how many instructions each takes per operation.
//
// The testing package reads runtime.MemStats where it starts and where it stops measuring. callgrind writes what it has counted each
// time, and counts from 0 again, so the last that it wrote before a benchmark's result is that benchmark's. It tells of what it
// writes by the same pipe as the results come from.
func (g *group) instructions(ctx context.Context) (map[string]int64, error) {
	dumps, err := os.MkdirTemp(filepath.Dir(g.binary), "callgrind")
	if err != nil {
		return nil, err
	}
	out, err := g.run(ctx, g.times, "valgrind", "-v", "--tool=callgrind", "--callgrind-out-file="+filepath.Join(dumps, "dump"),
		"--dump-before=runtime.ReadMemStats")
	if err != nil {
		return nil, err
	}
	results := map[string]int64{}
	for name, dump := range Dumps(out) {
		text, err := os.ReadFile(dump) //nolint:gosec // one of ours
		if err != nil {
			return nil, err
		}
		total, err := Total(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dump, err)
		}
		results[name] = total / int64(g.times)
	}
	return results, nil
}

// Dumps reads what a benchmark and callgrind printed and returns for each benchmark the file of its count.
func Dumps(out string) map[string]string {
	names, dumps := regexp.MustCompile(`^Benchmark\S+`), regexp.MustCompile(`--\d+-- Dump to (.+)$`)
	files := map[string]string{}
	name, dump := "", ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if found := names.FindString(line); found != "" {
			name = found
		}
		if found := dumps.FindStringSubmatch(line); found != nil {
			dump = found[1]
		}
		if strings.Contains(line, " ns/op") {
			files[name] = dump
		}
	}
	return files
}

// Total is the number of instructions in a file of callgrind's.
func Total(dump string) (int64, error) {
	for line := range strings.Lines(dump) {
		if total, ok := strings.CutPrefix(line, "totals: "); ok {
			return strconv.ParseInt(strings.TrimSpace(total), 10, 64)
		}
	}
	return 0, fmt.Errorf("no totals")
}
