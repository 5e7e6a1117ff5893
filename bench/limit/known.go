package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-redis/redis/v8"
)

// remembered is how many tokens introspection knows, the newest.
const remembered = 100_000

// tokens is where introspection finds them, by SHA-256 of their text.
type tokens interface {
	put(ctx context.Context, key [sha256.Size]byte, t *row) error
	// get returns nil for a token that is not known.
	get(ctx context.Context, key [sha256.Size]byte) (*row, error)
}

// inMemory is a map of this process.
type inMemory struct {
	mu    sync.RWMutex
	known map[[sha256.Size]byte]*row
	order [][sha256.Size]byte // in which they came, a ring
	next  int
}

func newMemory() *inMemory {
	return &inMemory{known: map[[sha256.Size]byte]*row{}, order: make([][sha256.Size]byte, remembered)}
}

func (m *inMemory) put(_ context.Context, key [sha256.Size]byte, t *row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, m.order[m.next])
	m.known[key], m.order[m.next] = t, key
	m.next = (m.next + 1) % remembered
	return nil
}

func (m *inMemory) get(_ context.Context, key [sha256.Size]byte) (*row, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.known[key], nil
}

// inRedis is shared by processes: one SET for each token that is issued, one GET for each that is introspected.
type inRedis struct{ client *redis.Client }

func openRedis(address string) (*inRedis, error) {
	options, err := redis.ParseURL(address)
	if err != nil {
		return nil, fmt.Errorf("address of Redis: %w", err)
	}
	options.PoolSize = 256 // as many as there are connections of the load, so that nobody waits for one
	return &inRedis{redis.NewClient(options)}, nil
}

const recordLength = len(row{}.id) + 8 + 8

func (r *inRedis) put(ctx context.Context, key [sha256.Size]byte, t *row) error {
	record := append(make([]byte, 0, recordLength), t.id[:]...)
	record = binary.BigEndian.AppendUint64(record, uint64(t.issued.Unix()))  //nolint:gosec // after 1970
	record = binary.BigEndian.AppendUint64(record, uint64(t.expires.Unix())) //nolint:gosec // after 1970
	return r.client.Set(ctx, string(key[:]), record, lifetime).Err()
}

func (r *inRedis) get(ctx context.Context, key [sha256.Size]byte) (*row, error) {
	record, err := r.client.Get(ctx, string(key[:])).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err == nil && len(record) != recordLength {
		err = errors.New("record of another length")
	}
	if err != nil {
		return nil, fmt.Errorf("ask Redis: %w", err)
	}
	t := &row{id: [16]byte(record)}
	t.issued = time.Unix(int64(binary.BigEndian.Uint64(record[16:])), 0)  //nolint:gosec // as it was put
	t.expires = time.Unix(int64(binary.BigEndian.Uint64(record[24:])), 0) //nolint:gosec // as it was put
	return t, nil
}
