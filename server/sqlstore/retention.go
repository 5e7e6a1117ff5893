package sqlstore

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/countersign/countersign/server/auth"
)

const (
	// sealedLife is how long the sealed part of a remembered answer is of use: registry.SecretReplayed.
	sealedLife = 10 * time.Minute
	// replayLife is how long an answer is remembered.
	replayLife = 24 * time.Hour
)

// deleteEvents cuts the audit log before the first event that is not older than a time, and moves the floor along.
func (s *Store) deleteEvents(ctx context.Context, before time.Time) (removed int64, err error) {
	for {
		began := time.Now()
		var found int64
		err := s.retried(ctx, func() error {
			return s.locked(ctx, func(t *tx) (err error) {
				found, err = t.cutEvents(ctx, before)
				return err
			})
		})
		removed += found
		if err != nil || found < rowsPerDelete {
			return removed, err
		}
		if err := s.yield(ctx, time.Since(began)); err != nil {
			return removed, err
		}
	}
}

// cutEvents removes the oldest events, at most rowsPerDelete. Events from before the floor, which were never chained, leave it where it is.
func (t *tx) cutEvents(ctx context.Context, before time.Time) (removed int64, err error) {
	oldest, err := list(ctx, t, func(row scanner) (*auth.AuditEvent, error) {
		e := new(auth.AuditEvent)
		return e, row.Scan(&e.Number, micros{&e.At}, fixed(e.Chain[:]))
	}, "SELECT number, at, chain FROM audit_events ORDER BY number LIMIT ?", rowsPerDelete)
	if err != nil {
		return 0, err
	}
	var last *auth.AuditEvent
	for _, e := range oldest {
		if !e.At.Before(before) {
			break
		}
		last = e
		removed++
	}
	if last == nil {
		return 0, nil
	}
	if _, err := t.exec(ctx, "delete old audit events", "DELETE FROM audit_events WHERE number <= ?", last.Number); err != nil {
		return 0, err
	}
	if last.Chain == ([sha256.Size]byte{}) {
		return removed, nil
	}
	keys, err := t.s.chainKeys()
	if err != nil {
		return 0, err
	}
	floor := &auth.AuditHead{Number: last.Number, Chain: last.Chain}
	keys.SealFloor(floor)
	_, err = t.exec(ctx, "move the floor of the audit log", "UPDATE audit_floor SET number = ?, chain = ?, seal = ? WHERE id = 1",
		floor.Number, floor.Chain[:], floor.Seal[:])
	return removed, err
}

// deleteReplays removes the secrets of remembered answers, and later the answers.
func (s *Store) deleteReplays(ctx context.Context, now time.Time) error {
	err := s.inSteps(ctx, "SELECT id FROM replays WHERE sealed_at < ? ORDER BY sealed_at LIMIT ?",
		"UPDATE replays SET sealed = NULL, sealed_at = NULL WHERE id IN (", now.Add(-sealedLife).UnixMicro())
	if err != nil {
		return err
	}
	return s.inSteps(ctx, "SELECT id FROM replays WHERE at < ? ORDER BY at LIMIT ?", "DELETE FROM replays WHERE id IN (", now.Add(-replayLife).UnixMicro())
}

// inSteps changes the rows whose key a query finds, some at a time.
func (s *Store) inSteps(ctx context.Context, query, change string, args ...any) error {
	for {
		began := time.Now()
		var keys []any
		err := s.view(ctx, func(t *tx) error {
			found, err := list(ctx, t, func(row scanner) (*any, error) {
				key := new(any)
				return key, row.Scan(key)
			}, query, append(slices.Clip(args), rowsPerDelete)...)
			for _, key := range found {
				keys = append(keys, *key)
			}
			return err
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		if _, err := s.writeOnce(ctx, "remove what is over", values(change, "?", len(keys))+")", keys...); err != nil {
			return err
		}
		if len(keys) < rowsPerDelete {
			return nil
		}
		if err := s.yield(ctx, time.Since(began)); err != nil {
			return err
		}
	}
}
