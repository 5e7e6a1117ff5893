package sqlstore

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

// contention is how long after a wait for the write lock other processes are taken to want it, too.
const contention = time.Second

// begin starts a transaction that writes.
func (s *Store) begin(ctx context.Context, conn *sql.Conn) (inner *sql.Tx, err error) {
	err = s.whileBusy(ctx, func() error {
		inner, err = conn.BeginTx(ctx, &s.dialect.update)
		return err
	})
	if err != nil {
		return nil, s.failed("begin", err)
	}
	return inner, nil
}

// execer is a pool or a connection.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// exec runs a statement that is a transaction of its own. The error is the driver's.
func (s *Store) exec(ctx context.Context, on execer, query string, args ...any) (rows int64, err error) {
	var result sql.Result
	err = s.whileBusy(ctx, func() error {
		result, err = on.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// whileBusy runs do until it gets SQLite's write lock, within the timeout. SQLite has no queue for it: a process that takes it again as
// soon as it gave it up starves the others, which look for it now and then. So a process that had to wait leaves gaps for a while.
func (s *Store) whileBusy(ctx context.Context, do func() error) error {
	if s.dialect.busy == nil {
		return do()
	}
	began := time.Now()
	if began.UnixNano() < s.contended.Load() {
		pause(ctx, rand.N(time.Millisecond)) //nolint:gosec // spreads tries, guards nothing
	}
	for {
		err := do()
		if err == nil || !s.dialect.busy(err) || time.Since(began) > s.timeout || ctx.Err() != nil {
			return err
		}
		s.contended.Store(time.Now().Add(contention).UnixNano())
		pause(ctx, rand.N(time.Millisecond)) //nolint:gosec // spreads tries, guards nothing
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
