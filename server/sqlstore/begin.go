package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/semaphore"
)

// contention is how long after a wait for the write lock other processes are taken to want it, too.
const contention = time.Second

// connection is one that a call has for itself.
type connection struct {
	*sql.Conn
	since    time.Time // when the call began to wait for it
	unusable func(error) bool
	queue    *semaphore.Weighted
}

// acquire takes a connection out of a pool, within the timeout.
func (s *Store) acquire(ctx context.Context, pool *sql.DB) (c connection, err error) {
	c.since, c.unusable = time.Now(), s.dialect.unusable
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if pool == s.write && s.writers != nil {
		if err := s.writers.Acquire(ctx, 1); err != nil {
			return c, unavailable(err)
		}
		c.queue = s.writers
	}
	if c.Conn, err = pool.Conn(ctx); err != nil {
		c.leave()
		return c, unavailable(err)
	}
	return c, nil
}

// release gives the connection back after a call that ended with *err, unless that says that the server at its other end is not to be used
// now: another connection may lead to one that is. A failure to give it back is one of the connection, which the pool then drops.
func (c connection) release(err *error) {
	if *err != nil && c.unusable != nil && c.unusable(*err) {
		_ = c.Raw(func(any) error { return driver.ErrBadConn })
	}
	_ = c.Close()
	c.leave()
}

func (c connection) leave() {
	if c.queue != nil {
		c.queue.Release(1)
	}
}

// begin starts a transaction that writes.
func (s *Store) begin(ctx context.Context, conn connection) (inner *sql.Tx, err error) {
	err = s.whileBusy(ctx, conn.since, func() error {
		inner, err = conn.BeginTx(ctx, &s.dialect.update)
		return err
	})
	if err != nil {
		return nil, s.failed("begin", err)
	}
	return inner, nil
}

// exec runs a statement that is a transaction of its own. The error is the driver's.
func (s *Store) exec(ctx context.Context, conn connection, query string, args ...any) (rows int64, err error) {
	var result sql.Result
	err = s.whileBusy(ctx, conn.since, func() error {
		result, err = conn.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// writeOnce is exec on a connection of its own.
func (s *Store) writeOnce(ctx context.Context, what, query string, args ...any) (rows int64, err error) {
	conn, err := s.acquire(ctx, s.write)
	if err != nil {
		return 0, err
	}
	defer conn.release(&err)
	if rows, err = s.exec(ctx, conn, query, args...); err != nil {
		return 0, s.failed(what, err)
	}
	return rows, nil
}

// whileBusy runs do until it gets SQLite's write lock, within the timeout from since on. SQLite has no queue for it: a process that takes it again as
// soon as it gave it up starves the others, which look for it now and then. So a process that had to wait leaves gaps for a while.
func (s *Store) whileBusy(ctx context.Context, since time.Time, do func() error) error {
	if s.dialect.busy == nil {
		return do()
	}
	if time.Now().UnixNano() < s.contended.Load() {
		pause(ctx, rand.N(time.Millisecond)) //nolint:gosec // spreads tries, guards nothing
	}
	for {
		err := do()
		if err == nil || !s.dialect.busy(err) || time.Since(since) > s.timeout || ctx.Err() != nil {
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
