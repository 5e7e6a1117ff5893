package sdk

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ReplayStore remembers which DPoP proofs were used (RFC 9449 §11.1). It is safe for concurrent use. Package sdkredis has one on Redis.
type ReplayStore interface {
	// Add remembers key until expires, and tells whether it was not known: of several calls with the same key, one alone is told so. It answers
	// within some 50 ms. ErrReplaysFull refuses the proof, any other error says that the store cannot tell.
	Add(ctx context.Context, key [32]byte, expires time.Time) (added bool, err error)
}

// ErrReplaysFull means that a store has no room for another proof until one expires. Requests with proofs are then ErrUnavailable: whoever
// forgets proofs takes them twice.
var ErrReplaysFull = errors.New("too many DPoP proofs at once")

// DefaultReplays is how many proofs a verifier remembers by itself, in some 50 MiB if they are so many. One is remembered for two
// to four minutes, and with [WithDPoPNonces] for some nine.
const DefaultReplays = 1 << 20

const (
	replayShards = 64
	sweepPause   = time.Second      // at least, between looks for what has expired, and
	sweepOften   = 30 * time.Second // at most, while proofs come
)

// ReplayMemory is a ReplayStore in the process. Nothing is forgotten before it expires, and beyond its limit it says ErrReplaysFull.
type ReplayMemory struct {
	limit  int // of one shard
	shards [replayShards]replayShard
}

type replayShard struct {
	mu    sync.Mutex
	until map[[16]byte]int64 // when it expires, in milliseconds since 1970; half a SHA-256 is as good to tell proofs apart
	swept time.Time
}

// NewReplayMemory returns a store for this many proofs, rounded up to a multiple of 64. It takes memory as proofs come.
func NewReplayMemory(limit int) *ReplayMemory {
	return &ReplayMemory{limit: max(1, (limit+replayShards-1)/replayShards)}
}

// Add implements [ReplayStore]. Its only error is ErrReplaysFull.
func (m *ReplayMemory) Add(_ context.Context, key [32]byte, expires time.Time) (bool, error) {
	return m.shards[key[31]%replayShards].add([16]byte(key[:16]), expires, m.limit)
}

func (s *replayShard) add(key [16]byte, expires time.Time, limit int) (bool, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if until, known := s.until[key]; known && now.UnixMilli() <= until {
		return false, nil
	}
	if idle := now.Sub(s.swept); idle >= sweepOften || idle >= sweepPause && len(s.until) >= limit {
		s.sweep(now)
	}
	if len(s.until) >= limit {
		return false, ErrReplaysFull
	}
	if s.until == nil {
		s.until = make(map[[16]byte]int64)
	}
	s.until[key] = expires.UnixMilli()
	return true, nil
}

// sweep forgets what has expired.
func (s *replayShard) sweep(now time.Time) {
	s.swept = now
	for key, until := range s.until {
		if until < now.UnixMilli() {
			delete(s.until, key)
		}
	}
}

// replays are the proofs that one instance has seen, and those that all have.
type replays struct {
	own     *ReplayMemory
	shared  ReplayStore // nil: there is none
	breaker breaker
	log     *slog.Logger
}

// add tells whether a proof is used for the first time. Only what is new here is asked about elsewhere: then whoever replays while the shared
// store does not answer is caught at least by those who have seen the proof.
func (r *replays) add(ctx context.Context, key [32]byte, expires time.Time) (bool, error) {
	added, err := r.own.Add(ctx, key, expires)
	if err != nil || !added || r.shared == nil || r.breaker.pass() != nil {
		return added, err
	}
	short, cancel := context.WithTimeout(ctx, storeBudget)
	defer cancel()
	added, err = r.shared.Add(short, key, expires)
	switch {
	case err == nil:
		if r.breaker.succeeded() {
			r.log.InfoContext(ctx, "the store of used DPoP proofs answers again")
		}
		return added, nil
	case errors.Is(err, ErrReplaysFull):
		return false, err
	case ctx.Err() != nil: // who has gone says nothing of the store, and nobody waits for an answer
		return false, ctx.Err()
	}
	if r.breaker.failed(err) {
		r.log.WarnContext(ctx, "the store of used DPoP proofs does not answer, each instance goes by what it has seen itself", slog.Any("error", err))
	}
	return true, nil
}
