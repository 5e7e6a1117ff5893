package count_test

import (
	"sync"
	"testing"

	"github.com/countersign/countersign/sdk/internal/count"
)

func TestCounter_LosesNothing(t *testing.T) {
	var c count.Counter
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for range 1000 {
				c.Inc()
			}
		})
	}
	all.Wait()
	if got := c.Value(); got != 100_000 {
		t.Fatalf("counted %d, want 100000", got)
	}
}

func TestCounter_DoesNotAllocate(t *testing.T) {
	var c count.Counter
	if n := testing.AllocsPerRun(1000, c.Inc); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkCounter(b *testing.B) {
	b.ReportAllocs()
	var c count.Counter
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Inc()
		}
	})
}
