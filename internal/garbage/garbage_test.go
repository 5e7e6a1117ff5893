package garbage_test

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/garbage"
)

// room is how much may be allocated until the next collection, in bytes.
func room() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) - int64(sample[1].Value.Uint64())
}

// eventually collects until the room is between least and most, since what a collection found is looked at in a goroutine of its own.
func eventually(t *testing.T, least, most int64) {
	t.Helper()
	var got int64
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		runtime.GC()
		if got = room(); least <= got && got <= most {
			return
		}
	}
	t.Fatalf("%d bytes may be allocated before a collection, want %d to %d", got, least, most)
}

func TestLeave(t *testing.T) {
	const spare = 64 << 20
	t.Cleanup(func() { debug.SetGCPercent(100) })
	s := garbage.Leave(spare)
	eventually(t, spare*8/10, spare*12/10)

	// As much as Go leaves by default.
	alive := make([]byte, 2*spare)
	eventually(t, 2*spare, 2*spare*12/10)
	runtime.KeepAlive(alive)

	eventually(t, spare*8/10, spare*12/10)

	t.Run("a limit goes before it", func(t *testing.T) {
		before := debug.SetMemoryLimit(32 << 20)
		defer debug.SetMemoryLimit(before)
		eventually(t, 0, 32<<20)
	})

	s.Stop()
	eventually(t, 0, spare/2)
	for range 5 {
		runtime.GC()
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is %d after a collection although it was stopped", got)
	}
}
