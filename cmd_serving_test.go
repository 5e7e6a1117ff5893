package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// Garbage is collected later, unless the environment says when.
func TestSpareHeap(t *testing.T) {
	goal := func(environ ...string) (bytes uint64) {
		err := withSpareHeap(environ, func() error {
			runtime.GC()
			sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
			metrics.Read(sample)
			bytes = sample[0].Value.Uint64()
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return bytes
	}
	plain := goal("GOGC=100")
	if got := goal("HOME=/"); got < plain+spareHeap {
		t.Errorf("the collector waits for %d bytes, and for %d without spare heap", got, plain)
	}
	if got := goal("GOMEMLIMIT=1GiB"); got > plain+spareHeap/2 {
		t.Errorf("the collector waits for %d bytes although there is a limit, and for %d by default", got, plain)
	}
}
