package memstore_test

import (
	"runtime"
	"strings"
	"testing"
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
	found := func() (n int) {
		for _, key := range keys {
			if s.Lookup(t.Context(), key, nil) != nil {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(5 * time.Second); found() > entries; {
		if time.Now().After(deadline) {
			t.Fatalf("%d tokens are kept, want at most %d", found(), entries)
		}
		runtime.Gosched()
	}
	if found() < entries/2 {
		t.Fatalf("%d tokens are kept, want about %d", found(), entries)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || !strings.Contains(families[0].GetName(), "entries") {
		t.Fatalf("metrics: %v, %v", families, err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := memstore.New(memstore.Config{Entries: -1}); err == nil {
		t.Fatal("a store of -1 entries was made")
	}
}

func BenchmarkLookup(b *testing.B) {
	s := open(b, memstore.Config{})
	keys := make([]auth.TokenKey, 1<<10)
	for i := range keys {
		key, token := storetest.SampleToken(storetest.SampleAPI(), time.Now())
		s.Remember(key, token)
		keys[i] = key
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if s.Lookup(b.Context(), keys[i&(1<<10-1)], nil) == nil {
			b.Fatal("a token is gone")
		}
		i++
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
