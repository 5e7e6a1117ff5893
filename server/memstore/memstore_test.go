package memstore_test

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/memstore"
	"github.com/countersign/countersign/server/storetest"
)

func open(tb testing.TB, cfg memstore.Config) *memstore.Store {
	tb.Helper()
	s, err := memstore.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

func TestStore(t *testing.T) {
	storetest.RunTokenStore(t, func(t *testing.T, now func() time.Time) auth.TokenStore {
		return open(t, memstore.Config{Now: now})
	})
}

// TestAPIs says that memory answers for whatever API: rights are the caller's to check.
func TestAPIs(t *testing.T) {
	s := open(t, memstore.Config{})
	key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	s.Remember(key, token)
	for _, apis := range [][]auth.APIID{nil, {{1}}, {token.API}} {
		if got := s.Lookup(t.Context(), key, apis); got != token {
			t.Errorf("Lookup for %v = %v, want the token", apis, got)
		}
	}
}

func TestBound(t *testing.T) {
	const entries = 1000
	registry := prometheus.NewRegistry()
	s := open(t, memstore.Config{Entries: entries, Registerer: registry})
	var keys []auth.TokenKey
	for range 20 * entries {
		key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
		s.Remember(key, token)
		keys = append(keys, key)
	}
	var found int
	for _, key := range keys {
		if s.Lookup(t.Context(), key, nil) != nil {
			found++
		}
	}
	if counted := kept(t, registry); found != entries || counted != entries {
		t.Fatalf("%d tokens are found and %d counted, want %d", found, counted, entries)
	}
}

// kept is what the metric says.
func kept(t *testing.T, registry *prometheus.Registry) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "countersign_token_memory_entries" {
		t.Fatalf("metrics: %v, %v", families, err)
	}
	return int(families[0].GetMetric()[0].GetGauge().GetValue())
}

// TestSweep says that expired tokens leave memory although nobody wants their places, and no others do.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := open(t, memstore.Config{Registerer: registry})
		for _, age := range []time.Duration{0, 10 * time.Minute} {
			for range 100 {
				s.Remember(storetest.SampleToken(storetest.SampleAPI(), time.Now().Add(-age)))
			}
		}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{49 * time.Minute, 200}, {3 * time.Minute, 100}, {10 * time.Minute, 0}} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := kept(t, registry); got != step.want {
				t.Errorf("%d tokens are kept, want %d", got, step.want)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	if _, err := memstore.New(memstore.Config{Entries: -1}); err == nil {
		t.Fatal("a store of -1 entries was made")
	}
}

// filled returns a store at its bound and keys of which about a thousand are in it.
func filled(b *testing.B, entries int) (*memstore.Store, []auth.TokenKey) {
	b.Helper()
	s := open(b, memstore.Config{Entries: entries})
	var keys []auth.TokenKey
	for n := range 2 * entries {
		key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
		s.Remember(key, token)
		if n >= 2*entries-1<<10 {
			keys = append(keys, key)
		}
	}
	return s, keys
}

func BenchmarkLookup(b *testing.B) {
	s, keys := filled(b, memstore.DefaultEntries)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			s.Lookup(b.Context(), keys[i&(1<<10-1)], nil)
		}
	})
}

// BenchmarkRemember puts tokens into a store that is full, so that each pushes out another.
func BenchmarkRemember(b *testing.B) {
	s, _ := filled(b, memstore.DefaultEntries)
	_, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		var key auth.TokenKey
		for p.Next() {
			binary.LittleEndian.PutUint64(key[:], rand.Uint64())
			binary.LittleEndian.PutUint64(key[24:], rand.Uint64())
			s.Remember(key, token)
		}
	})
}

// BenchmarkCollection is what looking for garbage takes with so many tokens in memory.
func BenchmarkCollection(b *testing.B) {
	for _, entries := range []int{memstore.DefaultEntries, 1_000_000} {
		b.Run(strconv.Itoa(entries), func(b *testing.B) {
			s, _ := filled(b, entries)
			for b.Loop() {
				runtime.GC()
			}
			runtime.KeepAlive(s)
		})
	}
}

// BenchmarkEntry reports what a token costs in memory, its scope included.
func BenchmarkEntry(b *testing.B) {
	for b.Loop() {
		const n = 100_000
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := open(b, memstore.Config{Entries: n})
		for range n {
			s.Remember(storetest.SampleToken(storetest.SampleAPI(), time.Now()))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/token")
		runtime.KeepAlive(s)
	}
}
