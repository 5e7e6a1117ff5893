// Package bounded is a map of bounded size. When it is full, it forgets the entry that would have been worth nothing soonest.
//
// It suits values that fade: an account that fills up again, a visit that is long past. Each says from when on it is as good as none, and may
// put that off whenever it is used. No goroutine looks after them: who adds an entry also clears away dead ones, a bounded number at a time.
package bounded

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	shards   = 64          // each with a lock of its own
	shardMin = 64          // entries of a shard, below which there are fewer shards
	sample   = 8           // entries that are compared when one has to go
	apart    = time.Minute // between two sweeps of a shard, during which it may hold what is dead
)

// Value is what a Map holds. Until may be called by any number of goroutines, and must not call the Map.
type Value interface {
	// Until is the time from which the value is worth nothing.
	Until() time.Time
}

// Map is safe for concurrent use. Make one by New.
type Map[K comparable, V Value] struct {
	seed   maphash.Seed
	shards []shard[K, V]
	most   int // in each shard
}

type shard[K comparable, V Value] struct {
	mu      sync.Mutex
	entries map[K]V
	swept   time.Time
}

// New returns a map of at most size entries, 1 at least. Keys are spread over shards by a hash that nobody can foretell; each holds an
// equal part of size, so that one may be full a few percent before all are.
func New[K comparable, V Value](size int) *Map[K, V] {
	n := min(max(size/shardMin, 1), shards)
	m := &Map[K, V]{seed: maphash.MakeSeed(), shards: make([]shard[K, V], n), most: max(size/n, 1)}
	for i := range m.shards {
		m.shards[i].entries = map[K]V{}
	}
	return m
}

func (m *Map[K, V]) shard(key K) *shard[K, V] {
	return &m.shards[maphash.Comparable(m.seed, key)%uint64(len(m.shards))]
}

// Get returns the value under key, dead or not. It allocates nothing.
func (m *Map[K, V]) Get(key K) (V, bool) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.entries[key]
	return value, ok
}

// Add puts the value under key if there is none, and returns the one that is there then.
func (m *Map[K, V]) Add(key K, value V, now time.Time) V {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.entries[key]; ok {
		return found
	}
	if since := now.Sub(s.swept); since >= apart || since < 0 {
		s.sweep(now)
	}
	if len(s.entries) >= m.most {
		s.forget()
	}
	s.entries[key] = value
	return value
}

// Sweep removes all that is dead. Without it that happens as others are added.
func (m *Map[K, V]) Sweep(now time.Time) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.sweep(now)
		s.mu.Unlock()
	}
}

func (s *shard[K, V]) sweep(now time.Time) {
	s.swept = now
	for key, value := range s.entries {
		if !value.Until().After(now) {
			delete(s.entries, key)
		}
	}
}

// forget removes the entry that is worth nothing soonest of some that chance picks, as a range over a map begins anywhere.
func (s *shard[K, V]) forget() {
	var victim K
	var soonest time.Time
	n := 0
	for key, value := range s.entries {
		if until := value.Until(); n == 0 || until.Before(soonest) {
			victim, soonest = key, until
		}
		if n++; n == sample {
			break
		}
	}
	delete(s.entries, victim)
}

// Len counts the entries, dead ones included.
func (m *Map[K, V]) Len() (n int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}
