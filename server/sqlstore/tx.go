package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// attempts bounds how often a call is run whose rows others write or delete meanwhile.
const attempts = 5

// Update implements auth.Store. It locks the row of the change counter before anything else, so that updates are serialised and
// none of them can deadlock with another.
func (s *Store) Update(ctx context.Context, change func(auth.Tx) error) (err error) {
	defer count(s.metrics.update, &err)
	return s.retried(ctx, func() error { return s.update(ctx, change) })
}

func (s *Store) update(ctx context.Context, change func(auth.Tx) error) error {
	return s.locked(ctx, func(t *tx) error { return change(t) })
}

// locked runs change in a transaction that locks the change counter first, and commits it.
func (s *Store) locked(ctx context.Context, change func(*tx) error) error {
	return s.transaction(ctx, func(t *tx) error {
		if _, err := t.position(ctx, s.dialect.forUpdate); err != nil {
			return err
		}
		return change(t)
	})
}

// writing runs change in a transaction that takes no part in the order of changes, and commits it. change may run again.
func (s *Store) writing(ctx context.Context, change func(*tx) error) error {
	return s.retried(ctx, func() error { return s.transaction(ctx, change) })
}

func (s *Store) transaction(ctx context.Context, change func(*tx) error) (err error) {
	conn, err := s.acquire(ctx, s.write)
	if err != nil {
		return err
	}
	defer conn.release(&err)
	inner, err := s.begin(ctx, conn)
	if err != nil {
		return err
	}
	defer inner.Rollback() //nolint:errcheck // does nothing after Commit
	if err := change(&tx{Tx: inner, s: s}); err != nil {
		return err
	}
	return s.commit(inner)
}

// View implements auth.Store. The snapshot is that of the first statement that read makes.
func (s *Store) View(ctx context.Context, read func(auth.Tx) error) (err error) {
	defer count(s.metrics.view, &err)
	return s.view(ctx, func(t *tx) error { return read(t) })
}

func (s *Store) view(ctx context.Context, read func(*tx) error) (err error) {
	conn, err := s.acquire(ctx, s.read)
	if err != nil {
		return err
	}
	defer conn.release(&err)
	inner, err := conn.BeginTx(ctx, &s.dialect.view)
	if err != nil {
		return s.failed("begin", err)
	}
	defer inner.Rollback() //nolint:errcheck // nothing was written
	return read(&tx{Tx: inner, s: s})
}

// retried runs do again while it fails by a conflict with another transaction, within the timeout. Transactions on several nodes of a Galera
// cluster conflict whenever they overlap, since their locks do not reach each other.
func (s *Store) retried(ctx context.Context, do func() error) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || s.dialect.classify(err) != conflict || time.Since(began) > s.timeout || ctx.Err() != nil {
			return err
		}
		pause(ctx, rand.N(time.Duration(min(attempt, 10))*5*time.Millisecond)) //nolint:gosec // spreads tries, guards nothing
	}
}

// commit marks its failure with auth.ErrOutcomeUnknown unless the database itself said no.
func (s *Store) commit(inner *sql.Tx) error {
	err := inner.Commit()
	if err == nil {
		return nil
	}
	return s.failedWrite("commit", err)
}

// failedWrite is failed for a statement that commits.
func (s *Store) failedWrite(what string, err error) error {
	if s.dialect.refused(err) {
		return s.failed(what, err)
	}
	return unavailable(fmt.Errorf("%s: %w: %w", what, auth.ErrOutcomeUnknown, err))
}

// failed turns a failure of the driver into what the contract promises.
func (s *Store) failed(what string, err error) error {
	switch s.dialect.classify(err) {
	case duplicate:
		return fault.Wrap(fault.Conflict, "it exists already", fmt.Errorf("%s: %w", what, err))
	case orphan:
		return fault.Wrap(fault.Conflict, "it refers to something that does not exist", fmt.Errorf("%s: %w", what, err))
	case unfit:
		return fmt.Errorf("%s: %w", what, err)
	case trouble, conflict, denied:
	}
	return unavailable(fmt.Errorf("%s: %w", what, err))
}

// tx is one transaction, and every part of it.
type tx struct {
	*sql.Tx
	s *Store
}

func (t *tx) Clients() auth.Clients     { return t }
func (t *tx) Secrets() auth.Secrets     { return t }
func (t *tx) APIs() auth.APIs           { return t }
func (t *tx) Grants() auth.Grants       { return t }
func (t *tx) Exchanges() auth.Exchanges { return t }
func (t *tx) Issuers() auth.Issuers     { return t }
func (t *tx) Keys() auth.Keys           { return t }
func (t *tx) Changes() auth.Changes     { return t }
func (t *tx) Audit() auth.Audit         { return t }
func (t *tx) Usage() auth.Usage         { return t }
func (t *tx) Replays() auth.Replays     { return t }

// exec runs a statement and returns how many rows it met.
func (t *tx) exec(ctx context.Context, what, query string, args ...any) (int64, error) {
	result, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, t.s.failed(what, err)
	}
	rows, err := result.RowsAffected()
	if err != nil {
		return 0, t.s.failed(what, err)
	}
	return rows, nil
}

// remove runs a DELETE that must meet a row.
func (t *tx) remove(ctx context.Context, what, query string, args ...any) error {
	rows, err := t.exec(ctx, what, query, args...)
	if err == nil && rows == 0 {
		return errNotFound()
	}
	return err
}

// put runs insert for a row of revision 0, else update, and counts the revision up. args are the columns, then the new revision,
// then the key; update takes the old revision after them.
func (t *tx) put(ctx context.Context, revision *int64, insert, update string, args ...any) error {
	if *revision == 0 {
		if _, err := t.exec(ctx, "insert", insert, args...); err != nil {
			return err
		}
	} else {
		rows, err := t.exec(ctx, "update", update, append(args, *revision)...)
		if err != nil {
			return err
		}
		if rows == 0 {
			return fault.New(fault.Conflict, "it was changed meanwhile; read it again")
		}
	}
	*revision++
	return nil
}

func errNotFound() error { return fault.New(fault.NotFound, "it does not exist") }

// scanner is a row: *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// one reads the row that the query finds, or returns fault.NotFound.
func one[T any](ctx context.Context, t *tx, scan func(scanner) (*T, error), query string, args ...any) (*T, error) {
	found, err := scan(t.QueryRowContext(ctx, query, args...))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errNotFound()
	case err != nil:
		return nil, t.s.failed("select", err)
	}
	return found, nil
}

// list reads every row that the query finds.
func list[T any](ctx context.Context, t *tx, scan func(scanner) (*T, error), query string, args ...any) ([]*T, error) {
	rows, err := t.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, t.s.failed("select", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	var all []*T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, t.s.failed("select", err)
		}
		all = append(all, item)
	}
	if err := rows.Err(); err != nil {
		return nil, t.s.failed("select", err)
	}
	return all, nil
}

// pageSize bounds a page of each, so that no statement runs long and the callback may use the transaction.
const pageSize = 1000

// each calls do for the items of page after page. next returns the page after an item, or the first one after nil.
func each[T any](next func(last *T) ([]*T, error), do func(*T) error) error {
	var last *T
	for {
		page, err := next(last)
		if err != nil {
			return err
		}
		for _, item := range page {
			if err := do(item); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		last = page[len(page)-1]
	}
}
