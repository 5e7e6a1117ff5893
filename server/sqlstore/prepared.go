package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
)

// keptText bounds the texts of the statements that a connection keeps prepared, in bytes: INSERTs of some 4,000 rows together. MariaDB
// holds some 20 MB for as much.
const keptText = 128 << 10

// session is what a driver's connection has to be able to do, so that nothing of it is lost behind a preparing.
type session interface {
	driver.Conn
	statements
	driver.ConnBeginTx
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type statements interface {
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

// preparing is a connection that keeps statements prepared, which spares the database reading the text of an INSERT of many rows each
// time. They end with the connection.
type preparing struct {
	session
	unprepared func(error) bool // of the dialect
	kept       map[string]statement
	texts      []string // of what is kept, the one that was used last at the end
	size       int      // of texts, in bytes
	off        bool     // the server keeps nothing for us
}

// statement is what a driver's prepared statement has to be able to do.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// keeping returns conn as one that keeps statements.
func keeping(conn driver.Conn, unprepared func(error) bool) (*preparing, error) {
	s, ok := conn.(session)
	if !ok {
		return nil, fmt.Errorf("a %T does less than the database's connections should", conn)
	}
	return &preparing{session: s, unprepared: unprepared, kept: map[string]statement{}}, nil
}

// Close implements driver.Conn. SQLite leaves a connection open, and its files behind, while one of its statements is.
func (p *preparing) Close() error {
	for _, s := range p.kept {
		_ = s.Close() // on a connection that is broken there is nothing to close
	}
	clear(p.kept)
	return p.session.Close()
}

// CheckNamedValue implements driver.NamedValueChecker, as the driver does.
func (p *preparing) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := p.session.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

// exec runs a statement that is worth keeping.
func (p *preparing) exec(ctx context.Context, query string, args []driver.NamedValue) error {
	return p.with(ctx, query, func(s statement) (err error) {
		if s != nil {
			_, err = s.ExecContext(ctx, args)
		} else {
			_, err = p.ExecContext(ctx, query, args)
		}
		return err
	})
}

// row reads the first row that a query worth keeping finds, or returns sql.ErrNoRows. What is in it must not refer to the connection's memory.
func (p *preparing) row(ctx context.Context, query string, into []driver.Value) error {
	return p.with(ctx, query, func(s statement) (err error) {
		var rows driver.Rows
		if s != nil {
			rows, err = s.QueryContext(ctx, nil)
		} else {
			rows, err = p.QueryContext(ctx, query, nil)
		}
		if err != nil {
			return err
		}
		err = rows.Next(into)
		if errors.Is(err, io.EOF) {
			err = sql.ErrNoRows
		}
		return errors.Join(err, rows.Close())
	})
}

// with calls do with the prepared statement of a text, or with nil where there can be none. A server that has none, in spite of what it said,
// did not run it.
func (p *preparing) with(ctx context.Context, query string, do func(statement) error) error {
	s, err := p.statement(ctx, query)
	if err == nil {
		err = do(s)
	}
	if err != nil && p.unprepared != nil && p.unprepared(err) {
		p.off = true
		return do(nil)
	}
	return err
}

func (p *preparing) statement(ctx context.Context, query string) (statement, error) {
	if p.off {
		return nil, nil //nolint:nilnil // with knows
	}
	if s := p.kept[query]; s != nil {
		if last := len(p.texts) - 1; p.texts[last] != query {
			p.texts = append(slices.DeleteFunc(p.texts, func(text string) bool { return text == query }), query)
		}
		return s, nil
	}
	made, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := made.(statement)
	if !ok {
		return nil, fmt.Errorf("a %T does less than the database's statements should", made)
	}
	p.kept[query], p.texts = s, append(p.texts, query)
	for p.size += len(query); p.size > keptText && len(p.texts) > 1; {
		oldest := p.texts[0]
		if err := p.kept[oldest].Close(); err != nil {
			return nil, err
		}
		delete(p.kept, oldest)
		p.texts, p.size = p.texts[1:], p.size-len(oldest)
	}
	return s, nil
}

// execKept runs a statement that is the connection's to keep. The error is the driver's.
func (c connection) execKept(ctx context.Context, query string, args []driver.NamedValue) error {
	return c.Raw(func(inner any) error {
		return inner.(*preparing).exec(ctx, query, args) //nolint:errcheck,forcetypeassert // connectors make nothing else
	})
}

// rowKept reads a row by a statement that is the connection's to keep. The error is the driver's, or sql.ErrNoRows.
func (c connection) rowKept(ctx context.Context, query string, into []driver.Value) error {
	return c.Raw(func(inner any) error {
		return inner.(*preparing).row(ctx, query, into) //nolint:errcheck,forcetypeassert // connectors make nothing else
	})
}

// named returns values of the driver's types as arguments.
func named(values []any) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, value := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: value}
	}
	return args
}
