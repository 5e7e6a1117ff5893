package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// averaged is how many times as often a benchmark runs natively as under valgrind: what happens now and then, such as that a map
// grows, weighs the same in each run then.
const averaged = 10

// build makes the test binary. Without debug information it is linked and read sooner.
func (g *group) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-w", "-o", g.binary, ".") //nolint:gosec // our own package
	cmd.Dir = g.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// allocated runs the benchmarks and returns what each allocates.
func (g *group) allocated(ctx context.Context) (map[string]Figures, error) {
	out, err := g.run(ctx, averaged*g.times)
	if err != nil {
		return nil, err
	}
	return Allocated(out)
}

// run runs the benchmarks, each that often, by the program and arguments of prefix, or by nothing but themselves. One processor and
// no garbage collection make that every run does the same; without preemption there are no signals, which callgrind fails of. RDTSCP, by which the Go
// runtime reads the time where threads wait for each other, is nothing that callgrind knows on every processor.
func (g *group) run(ctx context.Context, times int, prefix ...string) (string, error) {
	command := append(prefix, g.binary, "-test.run=^$", "-test.benchmem", "-test.bench="+Pattern(g.names), fmt.Sprintf("-test.benchtime=%dx", times))
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // our own test binaries
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1,cpu.rdtscp=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return string(out), nil
}

// Pattern matches benchmarks of these names and no others. go test matches what lies between slashes by itself.
func Pattern(names []string) string {
	patterns := make([]string, len(names))
	for i, name := range names {
		parts := strings.Split(name, "/")
		for j, part := range parts {
			parts[j] = "^" + regexp.QuoteMeta(part) + "$"
		}
		patterns[i] = strings.Join(parts, "/")
	}
	return strings.Join(patterns, "|")
}

// Allocated reads the lines of results in what go test printed.
func Allocated(out string) (map[string]Figures, error) {
	results := map[string]Figures{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(line, "Benchmark") || fields[len(fields)-1] != "allocs/op" {
			continue
		}
		bytes, err := strconv.ParseInt(fields[len(fields)-4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		allocations, err := strconv.ParseInt(fields[len(fields)-2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		results[fields[0]] = Figures{Allocations: allocations, Bytes: bytes}
	}
	return results, nil
}
