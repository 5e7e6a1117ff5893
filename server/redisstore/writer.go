package redisstore

import (
	"context"
	"log/slog"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
)

// write records what is queued until the queue is closed and empty: each time whatever has queued meanwhile, in one round
// trip, so that no timer is needed. Signing happens here, off the path of any answer.
func (s *Store) write(ctx context.Context) {
	defer close(s.done)
	batch := make([]recording, 0, batchLength)
	for first := range s.queue {
		batch = s.fill(append(batch[:0], first))
		s.flush(ctx, batch)
	}
}

// fill adds to the batch what is queued right now.
func (s *Store) fill(batch []recording) []recording {
	for len(batch) < batchLength {
		select {
		case next, ok := <-s.queue:
			if !ok {
				return batch
			}
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// flush writes one batch, or drops it.
func (s *Store) flush(ctx context.Context, batch []recording) {
	keys := s.cfg.Keys()
	if ctx.Err() != nil || keys == nil || !s.cfg.Redis.Ready() {
		s.metrics.wrote(writeUnavailable, len(batch))
		tell(batch, errUnavailable)
		return
	}
	entries := make([]redisconn.Entry, 0, len(batch))
	fit := batch[:0]
	for _, r := range batch {
		if e, ok := s.entry(r, keys); ok {
			entries, fit = append(entries, e), append(fit, r)
			continue
		}
		r.tell(errUnfit)
	}
	s.metrics.wrote(writeUnfit, len(batch)-len(fit))
	if len(entries) == 0 {
		return
	}
	if err := s.cfg.Redis.SetMany(ctx, entries...); err != nil {
		s.metrics.wrote(writeUnavailable, len(entries))
		tell(fit, err)
		s.cfg.Logger.DebugContext(ctx, "tokens were not recorded in the token store", slog.Any("error", err))
		return
	}
	s.metrics.wrote(writeStored, len(entries))
	tell(fit, nil)
}

func tell(batch []recording, err error) {
	for _, r := range batch {
		r.tell(err)
	}
}

// entry makes the record of a token, or reports false for one that is dead or of an unknown API.
func (s *Store) entry(r recording, keys *Keys) (redisconn.Entry, bool) {
	life := r.token.Expires.Sub(s.cfg.Now())
	b, known := s.bind(r.key, r.token.API)
	if life < time.Millisecond || !known {
		return redisconn.Entry{}, false
	}
	record := encode(b, r.token, keys, s.cfg.Direct)
	return redisconn.Entry{Key: redisKey(r.token.API, r.key), Value: record, TTL: life}, record != nil
}
