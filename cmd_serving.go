package main

import (
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/telemetry"
)

const (
	// spareHeap is how much garbage a process may leave besides what Go allows anyway.
	spareHeap = 32 << 20
	// sparePiece is a part of it that is allocated at once.
	sparePiece = 256 << 10
	// settled is when a process is taken to have started.
	settled = 5 * time.Second
)

// runServing runs what answers requests until it is told to end. It gets the process's standard error for its log.
func runServing(env environment, run func(log io.Writer) error) error {
	lines := telemetry.NewLines(env.stderr)
	defer lines.Close()
	tidying := time.AfterFunc(settled, tidy)
	defer tidying.Stop()
	return withSpareHeap(env.environ, func() error { return run(lines) })
}

// tidy gives back what only the start needed. Garbage would stay until the first collection, which comes after megabytes of it, or two minutes, and
// the binary's pages for as long as the machine has memory to spare.
func tidy() {
	debug.FreeOSMemory()
	forgetProgram()
}

// withSpareHeap runs a server or a proxy. What it keeps alive is little, so Go would look for garbage some fifty times a second under load,
// through the stacks of all connections each time: an eighth of a proxy's processor time. Memory that is never touched counts as alive and costs nothing
// but addresses. It is allocated in pieces because Go clears a whole allocation, and so touches it, if its beginning was in use before. Whoever sets GOGC or GOMEMLIMIT has decided otherwise.
func withSpareHeap(environ []string, run func() error) error {
	for _, variable := range environ {
		if strings.HasPrefix(variable, "GOGC=") || strings.HasPrefix(variable, "GOMEMLIMIT=") {
			return run()
		}
	}
	var spare [spareHeap / sparePiece][]byte
	for i := range spare {
		spare[i] = make([]byte, sparePiece)
	}
	defer runtime.KeepAlive(&spare)
	return run()
}
