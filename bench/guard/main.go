// Command guard compares what the hot paths cost with bench/guard/expected.txt: allocations and bytes per operation, and
// instructions, which valgrind counts, since virtual machines seldom have counters. None of them is a time, so that a busy machine
// and a slow one find the same. It runs benchmarks that exist anyway, from the repository's root, and needs no set-up of its own.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
)

// file holds what is expected, from the repository's root.
const file = "bench/guard/expected.txt"

func main() {
	update := flag.Bool("update", false, "write what is found to "+file+" instead of comparing it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *update)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, update bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	table, err := Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	here := thisPlatform()
	why := here.uncounted(table.Platform, update, exec.LookPath)
	if why != "" && update {
		return fmt.Errorf("nothing was written: %s", why)
	}
	found, err := measure(ctx, table.Rows, why == "")
	if err != nil {
		return err
	}
	if update {
		table.take(here, found)
		return os.WriteFile(file, table.Text(), 0o644) //nolint:gosec // a file of the repository
	}
	var report bytes.Buffer
	err = table.Compare(&report, found)
	if why != "" {
		fmt.Fprintf(&report, "Instructions were not compared: %s.\n", why)
	}
	_, _ = os.Stdout.Write(report.Bytes())
	return err
}
