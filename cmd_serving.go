package main

import (
	"io"
	"runtime"
	"strings"

	"github.com/countersign/countersign/internal/telemetry"
)

// spareHeap is how much garbage a process may leave besides what Go allows anyway.
const spareHeap = 32 << 20

// runServing runs what answers requests until it is told to end. It gets the process's standard error for its log.
func runServing(env environment, run func(log io.Writer) error) error {
	lines := telemetry.NewLines(env.stderr)
	defer lines.Close()
	return withSpareHeap(env.environ, func() error { return run(lines) })
}

// withSpareHeap runs a server or a proxy. What it keeps alive is little, so Go would look for garbage some fifty times a second under load,
// through the stacks of all connections each time: an eighth of a proxy's processor time. Memory that is never touched counts as alive and costs nothing
// but addresses. Whoever sets GOGC or GOMEMLIMIT has decided otherwise.
func withSpareHeap(environ []string, run func() error) error {
	for _, variable := range environ {
		if strings.HasPrefix(variable, "GOGC=") || strings.HasPrefix(variable, "GOMEMLIMIT=") {
			return run()
		}
	}
	spare := make([]byte, spareHeap)
	defer runtime.KeepAlive(spare)
	return run()
}
