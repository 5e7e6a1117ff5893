package bounded_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/bounded"
)

// visit is a value that fades at a time in seconds.
type visit struct{ until atomic.Int64 }

func (v *visit) Until() time.Time { return at(v.until.Load()) }

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

func newVisit(until int64) *visit {
	v := new(visit)
	v.until.Store(until)
	return v
}

func newMap(size int) *bounded.Map[int, *visit] {
	return bounded.New[int, *visit](size)
}

func TestAddKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	m := newMap(10)
	if v, ok := m.Get(1); ok {
		t.Errorf("there was %v", v)
	}
	first, second := newVisit(5), newVisit(6)
	if got := m.Add(1, first, at(0)); got != first {
		t.Error("the first was not added")
	}
	if got := m.Add(1, second, at(0)); got != first {
		t.Error("the second was added")
	}
	if got, ok := m.Get(1); got != first || !ok {
		t.Errorf("got %v, %v", got, ok)
	}
}

func TestNeverMoreThanItsSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 63, 64, 100, 1000, 10_000} {
		m := newMap(size)
		for n := range 3 * size {
			m.Add(n, newVisit(1000), at(0))
		}
		if n := m.Len(); n > size || n < size*8/10 {
			t.Errorf("%d entries in a map of %d", n, size)
		}
	}
}

// What lives longest outlasts any number of others.
func TestForgetsWhatFadesSoonest(t *testing.T) {
	t.Parallel()
	const size = 2000
	m := newMap(size)
	for n := range size / 20 {
		m.Add(-1-n, newVisit(1_000_000), at(0))
	}
	for n := range 50 * size {
		m.Add(n, newVisit(1000), at(0))
	}
	for n := range size / 20 {
		if _, ok := m.Get(-1 - n); !ok {
			t.Errorf("%d is forgotten", n)
		}
	}
}

// What is dead goes as others are added, what was used meanwhile does not.
func TestSweptByAdding(t *testing.T) {
	t.Parallel()
	m := newMap(64_000)
	for n := range 1000 {
		m.Add(n, newVisit(100), at(0))
	}
	used, _ := m.Get(7)
	used.until.Store(1_000_000)
	for n := range 1000 {
		m.Add(1000+n, newVisit(1_000_000), at(100))
	}
	if n := m.Len(); n != 1001 {
		t.Errorf("%d entries, want 1001", n)
	}
	if _, ok := m.Get(7); !ok {
		t.Error("what was used is gone")
	}
}

// A clock that was set back does not put off the sweep for as long.
func TestSweptAfterClockIsSetBack(t *testing.T) {
	t.Parallel()
	m := newMap(100)
	m.Add(1, newVisit(50), at(10_000))
	m.Add(2, newVisit(1000), at(100))
	if n := m.Len(); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m := newMap(100)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for n := range 2000 {
				key := (n * (g + 1)) % 300
				v, ok := m.Get(key)
				if !ok {
					v = m.Add(key, newVisit(int64(n)), at(int64(n/10)))
				}
				v.until.Add(1)
				if n%500 == 0 {
					m.Sweep(at(int64(n)))
				}
			}
		})
	}
	all.Wait()
	if n := m.Len(); n > 100 {
		t.Errorf("%d entries", n)
	}
}

func BenchmarkGet(b *testing.B) {
	m := newMap(100_000)
	for n := range 50_000 {
		m.Add(n, newVisit(1000), at(0))
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for n := 0; p.Next(); n++ {
			m.Get(n % 50_000)
		}
	})
}
