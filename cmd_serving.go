package main

import (
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/doctor"
	"github.com/countersign/countersign/internal/garbage"
	"github.com/countersign/countersign/internal/telemetry"
)

const (
	// spareHeap is how much garbage a process may leave, in bytes, if it has memory enough.
	spareHeap = 128 << 20
	// settled is when a process is taken to have started.
	settled = 5 * time.Second
)

// runServing runs what answers requests until it is told to end. It gets the process's standard error for its log.
func runServing(env environment, run func(log io.Writer) error) error {
	lines := telemetry.NewLines(env.stderr)
	defer lines.Close()
	tidying := time.AfterFunc(settled, tidy)
	defer tidying.Stop()
	limit, _ := doctor.MemoryLimit(os.DirFS("/"))
	if spare := spareOf(env.environ, limit, debug.SetMemoryLimit(-1)); spare > 0 {
		defer garbage.Leave(spare).Stop()
	}
	return run(lines)
}

// tidy gives back what only the start needed. Garbage would stay until the first collection, which comes after megabytes of it, or two minutes, and
// the binary's pages for as long as the machine has memory to spare.
func tidy() {
	debug.FreeOSMemory()
	forgetProgram()
}

// spareOf is how much garbage a server or a proxy leaves, in bytes. What it keeps alive is little, so Go would look for garbage some fifty times a second
// under load, through the stacks of all connections each time: an eighth of a proxy's processor time, and a pause of all that is being answered.
// A small container gets a quarter of its limits, which are zero if there is none. Whoever sets GOGC has decided otherwise.
func spareOf(environ []string, limits ...int64) int64 {
	for _, variable := range environ {
		if strings.HasPrefix(variable, "GOGC=") {
			return 0
		}
	}
	spare := int64(spareHeap)
	for _, limit := range limits {
		if limit > 0 {
			spare = min(spare, limit/4)
		}
	}
	return spare
}
