package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/countersign/countersign/server/auth"
)

const (
	// leaseLife is how long the lease is held without being renewed. Whoever calls Maintain more often than that keeps it.
	leaseLife = 2 * time.Minute
	// rowsPerDelete keeps a statement well below 100 ms.
	rowsPerDelete = 500
	// skew is how far clocks of servers may differ: a token is removed only when it has expired by every clock.
	skew = 2 * auth.MaxSkew
)

// errLeaseLost ends maintenance that took so long that another instance took over.
var errLeaseLost = errors.New("another instance holds the maintenance lease")

// Maintain implements auth.Ledger. In MySQL tokens go with their partition, within an hour and a quarter of their expiry; rows are
// deleted only where there are no partitions. Call it at least once a minute; a call may take long when there is much to delete.
// If keepAudit is 0, the audit log is kept for good.
func (s *Store) Maintain(ctx context.Context, now time.Time, keepAudit time.Duration) (m auth.Maintenance, err error) {
	defer count(s.metrics.maintain, &err)
	m.Held, err = s.takeLease(ctx)
	if err != nil {
		return m, err
	}
	if m.Held {
		err = s.maintain(ctx, now, keepAudit, &m)
	}
	if err == nil && s.dialect.partitions && !s.denied.Load() {
		m.Headroom, err = s.headroom(ctx, now)
	}
	if errors.Is(err, errLeaseLost) {
		m.Held, err = false, nil
	}
	return m, err
}

func (s *Store) maintain(ctx context.Context, now time.Time, keepAudit time.Duration, m *auth.Maintenance) error {
	err := s.maintainTokens(ctx, now, m)
	if err != nil {
		return err
	}
	if m.ChangesRemoved, err = s.deleteChanges(ctx, now.Add(-auth.RevocationLife)); err != nil {
		return err
	}
	if keepAudit > 0 {
		if m.EventsRemoved, err = s.deleteEvents(ctx, now.Add(-keepAudit)); err != nil {
			return err
		}
	}
	if err := s.deleteOldProofs(ctx, now); err != nil {
		return err
	}
	return s.deleteReplays(ctx, now)
}

func (s *Store) maintainTokens(ctx context.Context, now time.Time, m *auth.Maintenance) error {
	var from auth.TokenID
	if s.dialect.partitions {
		switch dropped, err := s.turnPartitions(ctx, now); {
		case errors.Is(err, errDenied):
			if !s.denied.Swap(true) {
				s.log.WarnContext(ctx, "expired tokens are deleted row by row", "reason", err)
			}
		case errors.Is(err, errInUse):
			// Partitions are made two days ahead, and those that expired take nothing but room.
			s.log.InfoContext(ctx, "partitions of tokens are changed later", "reason", err)
			return nil
		case errors.Is(err, errCrowded):
			s.log.ErrorContext(ctx, "no partitions can be made for tokens to come", "reason", err)
		case err != nil:
			return err
		default:
			s.denied.Store(false)
			if dropped > 0 {
				m.TokensRemoved = -1
			}
			if from, err = s.unpartitioned(ctx); err != nil {
				return err
			}
		}
	}
	removed, err := s.deleteTokens(ctx, from, auth.FirstTokenID(auth.Bucket(now.Add(-skew))))
	if m.TokensRemoved == 0 {
		m.TokensRemoved = removed
	}
	return err
}

func (s *Store) turnPartitions(ctx context.Context, now time.Time) (dropped int, err error) {
	if err := s.makePartitions(ctx, now, 1, func(took time.Duration) error { return s.yield(ctx, took) }); err != nil {
		return 0, err
	}
	return s.dropPartitions(ctx, now.Add(-skew))
}

// unpartitioned returns the lowest id that no partition but the catch-all holds.
func (s *Store) unpartitioned(ctx context.Context) (from auth.TokenID, err error) {
	ends, err := s.partitionEnds(ctx)
	if err == nil && len(ends) > 0 {
		from = auth.FirstTokenID(ends[len(ends)-1])
	}
	return from, err
}

// takeLease takes or renews the lease, by the database's clock alone.
func (s *Store) takeLease(ctx context.Context) (held bool, err error) {
	query := "UPDATE leases SET holder = ?, expires = " + s.dialect.now + " + ? WHERE name = 'maintenance' AND (holder = ? OR expires <= " + s.dialect.now + ")"
	rows, err := s.writeOnce(ctx, "take the maintenance lease", query, s.holder[:], leaseLife.Microseconds(), s.holder[:])
	return rows == 1, err
}

// deleteTokens deletes the tokens from one id up to another, some at a time.
func (s *Store) deleteTokens(ctx context.Context, from, to auth.TokenID) (removed int64, err error) {
	for bytes.Compare(from[:], to[:]) < 0 {
		began := time.Now()
		next, rows, err := s.deleteSome(ctx, from, to)
		removed += rows
		if err != nil || next == to {
			return removed, err
		}
		from = next
		if err := s.yield(ctx, time.Since(began)); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// deleteSome deletes the lowest tokens from one id up to another, and returns the lowest id that may be left.
func (s *Store) deleteSome(ctx context.Context, from, to auth.TokenID) (next auth.TokenID, rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	next = to
	err = s.read.QueryRowContext(ctx, "SELECT jti FROM tokens WHERE jti >= ? AND jti < ? ORDER BY jti LIMIT 1 OFFSET ?", from[:], to[:], rowsPerDelete).
		Scan(fixed(next[:]))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return from, 0, s.failed("find expired tokens", err)
	}
	rows, err = s.writeOnce(ctx, "delete expired tokens", "DELETE FROM tokens WHERE jti >= ? AND jti < ?", from[:], next[:])
	return next, rows, err
}

// yield leaves the database to others for a while, after work that took a time, and renews the lease.
func (s *Store) yield(ctx context.Context, took time.Duration) error {
	pause(ctx, 4*took)
	held, err := s.takeLease(ctx)
	if err == nil && !held {
		return errLeaseLost
	}
	return err
}

// deleteChanges cuts the log before the first change that is not older than a time, and moves the floor along.
func (s *Store) deleteChanges(ctx context.Context, before time.Time) (removed int64, err error) {
	for {
		began := time.Now()
		last, found, err := s.oldChanges(ctx, before)
		if err != nil || found == 0 {
			return removed, err
		}
		err = s.retried(ctx, func() error { return s.cutChanges(ctx, last) })
		if err != nil {
			return removed, err
		}
		removed += found
		if found < rowsPerDelete {
			return removed, nil
		}
		if err := s.yield(ctx, time.Since(began)); err != nil {
			return removed, err
		}
	}
}

// oldChanges returns the last of the oldest changes, and how many there are, at most rowsPerDelete.
func (s *Store) oldChanges(ctx context.Context, before time.Time) (last uint64, found int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	rows, err := s.read.QueryContext(ctx, "SELECT sequence, at FROM changes ORDER BY sequence LIMIT ?", rowsPerDelete)
	if err != nil {
		return 0, 0, s.failed("find old changes", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	for rows.Next() {
		var sequence uint64
		var at int64
		if err := rows.Scan(&sequence, &at); err != nil {
			return 0, 0, s.failed("find old changes", err)
		}
		if at >= before.UnixMicro() {
			break
		}
		last = sequence
		found++
	}
	if err := rows.Err(); err != nil {
		return 0, 0, s.failed("find old changes", err)
	}
	return last, found, nil
}

func (s *Store) cutChanges(ctx context.Context, last uint64) error {
	return s.locked(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "delete old changes", "DELETE FROM changes WHERE sequence <= ?", last); err != nil {
			return err
		}
		_, err := t.exec(ctx, "move the floor", "UPDATE change_counter SET floor = ? WHERE id = 1", last)
		return err
	})
}
