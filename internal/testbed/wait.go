package testbed

import (
	"testing"
	"time"
)

// Wait asks condition again and again, every 5 ms, until it returns nil. The test ends with the
// last error if that takes longer than within.
func Wait(tb testing.TB, within time.Duration, condition func() error) {
	tb.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			tb.Fatalf("still so after %v: %v", within, err)
		case <-again.C:
		}
	}
}
