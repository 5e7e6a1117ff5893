// Package garbage has the Go runtime collect later in a process that keeps little alive.
package garbage

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// usual is GOGC's default: as much garbage as there is alive, in percent.
	usual = 100
	// smallest is what Go takes for alive in the smallest heap that it collects at all, in bytes.
	smallest = 4 << 20
)

// Setting is how much garbage may lie. It is safe for concurrent use.
type Setting struct {
	spare int64

	mu      sync.Mutex
	percent int // what GOGC is set to
	stopped bool
}

// Leave lets up to spare bytes of garbage lie before they are collected, or as much as is alive if that is more, which is Go's default. Go knows a share
// (GOGC) only, so it is reckoned anew after each collection; a limit of the runtime's memory (GOMEMLIMIT) goes before it. There is one setting for the process.
func Leave(spare int64) *Setting {
	s := &Setting{spare: spare, percent: usual}
	s.adjust()
	return s
}

// Stop returns to Go's default.
func (s *Setting) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.set(usual)
}

// adjust sets the share by what the last collection found alive, and comes again after the next, when nobody refers to its mark any more.
func (s *Setting) adjust() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	if percent := max(usual, int(float64(s.spare)*usual/alive())); percent < s.percent*9/10 || percent > s.percent*11/10 {
		s.set(percent)
	}
	runtime.AddCleanup(&mark{}, (*Setting).adjust, s)
}

// mark is too large to share its memory with others, which would keep it alive.
type mark struct{ _ [64]byte }

// set stops the process for a moment, so it is not called without need. It is called under the mutex.
func (s *Setting) set(percent int) {
	s.percent = percent
	debug.SetGCPercent(percent)
}

// alive is what Go reckons the share of, in bytes.
func alive() float64 {
	parts := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(parts)
	var sum float64
	for _, part := range parts {
		sum += float64(part.Value.Uint64())
	}
	return max(sum, smallest)
}
