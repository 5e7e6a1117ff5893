package memory

import (
	"maps"
	"sync/atomic"
)

// shardCount bounds what one change copies: of 100,000 clients, a hundred pointers.
const shardCount = 1024

// shardOf spreads ids by their last bytes, which are random in every id of ours.
func shardOf(id [16]byte) int { return (int(id[14])<<8 | int(id[15])) % shardCount }

// table is a map whose readers take no lock: each shard is an immutable map, and a writer puts a new one in its place.
type table[K comparable, V any] struct {
	shard  func(K) int
	shards [shardCount]atomic.Pointer[map[K]V]
	length atomic.Int64
}

func newTable[K comparable, V any](shard func(K) int) *table[K, V] {
	return &table[K, V]{shard: shard}
}

func (t *table[K, V]) get(key K) (value V, ok bool) {
	if shard := t.shards[t.shard(key)].Load(); shard != nil {
		value, ok = (*shard)[key]
	}
	return value, ok
}

// each calls visit for every entry, in no order. Entries that are written meanwhile may be missed.
func (t *table[K, V]) each(visit func(K, V)) {
	for i := range t.shards {
		if shard := t.shards[i].Load(); shard != nil {
			for k, v := range *shard {
				visit(k, v)
			}
		}
	}
}

// edit collects writes to a table, so that a shard with many of them is copied once. A table has one writer at a time.
type edit[K comparable, V any] struct {
	table  *table[K, V]
	shards map[int]map[K]V
}

func (t *table[K, V]) edit() *edit[K, V] {
	return &edit[K, V]{table: t, shards: map[int]map[K]V{}}
}

func (e *edit[K, V]) copied(key K) map[K]V {
	i := e.table.shard(key)
	shard, ok := e.shards[i]
	if !ok {
		shard = map[K]V{}
		if old := e.table.shards[i].Load(); old != nil {
			shard = maps.Clone(*old)
		}
		e.shards[i] = shard
	}
	return shard
}

func (e *edit[K, V]) get(key K) (value V, ok bool) {
	value, ok = e.copied(key)[key]
	return value, ok
}

func (e *edit[K, V]) put(key K, value V) { e.copied(key)[key] = value }

func (e *edit[K, V]) remove(key K) { delete(e.copied(key), key) }

// publish shows the writes to readers, shard by shard.
func (e *edit[K, V]) publish() {
	for i, shard := range e.shards {
		before := 0
		if old := e.table.shards[i].Load(); old != nil {
			before = len(*old)
		}
		e.table.shards[i].Store(&shard)
		e.table.length.Add(int64(len(shard) - before))
	}
}
