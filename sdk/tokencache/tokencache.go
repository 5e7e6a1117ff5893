// Package tokencache is a table of fixed size that is read without locks. It keeps what was found out about tokens, under the hash of
// the whole token, until it is dropped, replaced, swept, or pushed out by others.
//
// A set-associative table, as in a processor's cache: the key names a set of eight slots, and is in one of them or nowhere. Reading
// takes at most eight pointer loads, and writes nothing that other readers of the same entry do not find already written.
//
// Nobody who brings tokens of his choice gets more out of it than their number: SHA-256 spreads them, so that to fill one set takes as
// many as to fill them all, and as the whole key is compared, what is found is what was put.
package tokencache

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Key is the SHA-256 of a whole token.
type Key = [32]byte

// ways is how many entries share a set: as many pointers as a cache line holds.
const ways = 8

// Cache is safe for concurrent use.
type Cache[V any] struct {
	sets []set[V]
	// write guards changes of slots. Reads do not take it.
	write   sync.Mutex
	evicted atomic.Uint64
}

type set[V any] [ways]atomic.Pointer[Entry[V]]

// Entry is a value with the key that it is found under and the time from which it is worth nothing.
type Entry[V any] struct {
	// Value is the owner's. What is changed after Put is changed atomically.
	Value V

	key     Key
	expires time.Time
	// used is set by reads and cleared when entries of the set are weighed against each other: the second chance.
	used atomic.Bool
}

// NewEntry returns an entry that is not in a cache yet.
func NewEntry[V any](key *Key, expires time.Time) *Entry[V] {
	return &Entry[V]{key: *key, expires: expires}
}

// Expires returns the time from which the entry may be pushed out before any other. The cache itself goes on answering with it.
func (e *Entry[V]) Expires() time.Time { return e.expires }

// New returns a cache of this many slots, rounded up to a multiple of 8. All of them are in use only when many more entries were put: a
// set can be full while others are not.
func New[V any](slots int) *Cache[V] {
	return &Cache[V]{sets: make([]set[V], max(1, (slots+ways-1)/ways))}
}

// Entry returns the entry under key, nil if there is none. It takes no lock and allocates nothing.
func (c *Cache[V]) Entry(key *Key) *Entry[V] {
	s, home := c.set(key), home(key)
	for i := range uint8(ways) {
		e := s[(home+i)%ways].Load()
		if e != nil && e.key == *key {
			// Only the first reader after a weighing writes, so readers do not take the line from each other.
			if !e.used.Load() {
				e.used.Store(true)
			}
			return e
		}
	}
	return nil
}

// Put adds e, in the place of what is there under its key. If the set is full, an entry that has expired by now goes; else, of those that
// were not read since entries were last weighed, the one that expires first.
func (c *Cache[V]) Put(e *Entry[V], now time.Time) {
	c.write.Lock()
	defer c.write.Unlock()
	s := c.set(&e.key)
	place, evicts := s.place(&e.key, now)
	if evicts {
		c.evicted.Add(1)
	}
	s[place].Store(e)
}

// Drop removes e if it is still the one that is found under its key.
func (c *Cache[V]) Drop(e *Entry[V]) {
	c.write.Lock()
	defer c.write.Unlock()
	for i, s := 0, c.set(&e.key); i < ways; i++ {
		s[i].CompareAndSwap(e, nil)
	}
}

// Clear removes everything.
func (c *Cache[V]) Clear() {
	c.write.Lock()
	defer c.write.Unlock()
	for i := range c.sets {
		for j := range c.sets[i] {
			c.sets[i][j].Store(nil)
		}
	}
}

// Sweep removes what has expired by now. Without it that stays until its slot is wanted. It may take milliseconds, during which Put and
// Drop wait for one set at most.
func (c *Cache[V]) Sweep(now time.Time) {
	for i := range c.sets {
		c.sweep(&c.sets[i], now)
	}
}

func (c *Cache[V]) sweep(s *set[V], now time.Time) {
	c.write.Lock()
	defer c.write.Unlock()
	for i := range s {
		if e := s[i].Load(); e != nil && !now.Before(e.expires) {
			s[i].Store(nil)
		}
	}
}

// Len counts the entries, dead ones included. It looks at every slot.
func (c *Cache[V]) Len() int {
	n := 0
	for i := range c.sets {
		for j := range c.sets[i] {
			if c.sets[i][j].Load() != nil {
				n++
			}
		}
	}
	return n
}

// Slots returns how many entries there can be.
func (c *Cache[V]) Slots() int { return len(c.sets) * ways }

// Evicted returns how many entries had to make room for others before they expired.
func (c *Cache[V]) Evicted() uint64 { return c.evicted.Load() }

// set finds a key's set: 64 bits of the hash, any of which are as good as any others, as a fraction of 1, of all sets.
func (c *Cache[V]) set(key *Key) *set[V] {
	i, _ := bits.Mul64(binary.LittleEndian.Uint64(key[:]), uint64(len(c.sets)))
	return &c.sets[i]
}

// home is the slot of its set where a key is looked for at first, so that most are found without a look at their neighbours, each of
// which may be a miss of the processor's cache.
func home(key *Key) uint8 { return key[len(key)-1] }

// place says where an entry with this key goes, and whether one that is still alive has to make room for it.
func (s *set[V]) place(key *Key, now time.Time) (place uint8, evicts bool) {
	const none = ways
	empty, dead := uint8(none), uint8(none)
	for i := range uint8(ways) {
		at := (home(key) + i) % ways
		switch e := s[at].Load(); {
		case e == nil:
			if empty == none {
				empty = at
			}
		case e.key == *key:
			return at, false
		case !now.Before(e.expires):
			dead = at
		}
	}
	switch {
	case empty != none:
		return empty, false
	case dead != none:
		return dead, false
	}
	return s.weigh(), true
}

// weigh picks the entry of a full set that goes: of those that were not read since the last weighing, or else of all, the one that
// expires first.
func (s *set[V]) weigh() uint8 {
	const none = ways
	unread, first := uint8(none), uint8(0)
	for i := range uint8(ways) {
		e := s[i].Load()
		if !e.used.Load() && (unread == none || e.expires.Before(s[unread].Load().expires)) {
			unread = i
		}
		if e.expires.Before(s[first].Load().expires) {
			first = i
		}
	}
	if unread != none {
		return unread
	}
	for i := range s {
		s[i].Load().used.Store(false)
	}
	return first
}
