package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

func sqliteDialect() dialect {
	return dialect{
		name:       "sqlite",
		goose:      goose.DialectSQLite3,
		now:        "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
		tables:     "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?",
		pinned:     func(column string) string { return column + " = ?" },
		join:       " CROSS JOIN ",
		orUpdate:   func(key string) string { return "ON CONFLICT (" + key + ") DO UPDATE SET " },
		added:      func(column string) string { return "excluded." + column },
		orIgnore:   "INSERT OR IGNORE",
		view:       sql.TxOptions{ReadOnly: true},
		classify:   classifySQLite,
		refused:    refusedSQLite,
		busy:       busySQLite,
		prepare:    useWAL,
		durability: sqliteDurability,
		facts:      sqliteFacts,
	}
}

// openSQLite opens one connection for writing and several for reading. Writers of all processes queue for SQLite's one write
// lock, which BEGIN IMMEDIATE takes at the start: a transaction that began by reading could not get it any more.
func openSQLite(ctx context.Context, s *Store, c Config, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("find the database file: %w", err)
	}
	if _, err := os.Stat(path); c.Existing && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no database file %s: `countersign migrate up`, or the first start of a server, makes it", path)
	}
	if err := touch(path); err != nil {
		return err
	}
	s.dialect = sqliteDialect()
	s.dialect.lock = func(ctx context.Context, _ *Store) (func(), error) { return lockFile(ctx, path+"-migration") }
	s.writers = semaphore.NewWeighted(1)
	writer := url.Values{"_txlock": {"immediate"}, "_pragma": {"synchronous(FULL)", "foreign_keys(1)"}}
	reader := url.Values{"_query_only": {"1"}}
	for _, pool := range []struct {
		db         **sql.DB
		size       int
		wait       time.Duration
		parameters url.Values
	}{{&s.write, 1, 0, writer}, {&s.read, max(4, runtime.GOMAXPROCS(0)), c.Timeout, reader}, {&s.setup, 1, c.Timeout, writer}} {
		if *pool.db, err = sqlitePool(path, pool.size, pool.wait, pool.parameters); err != nil {
			return err
		}
	}
	if err := s.Ping(ctx); err != nil {
		_ = s.Close()
		return fmt.Errorf("open the database file %s: %w", path, err)
	}
	return nil
}

func sqlitePool(path string, size int, wait time.Duration, parameters url.Values) (*sql.DB, error) {
	parameters = maps.Clone(parameters)
	parameters.Set("_busy_timeout", strconv.FormatInt(wait.Milliseconds(), 10))
	target := url.URL{Scheme: "file", Path: path, RawQuery: parameters.Encode()}
	connector, err := sqlite.NewConnector(target.String())
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	db := sql.OpenDB(files{connector})
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// files makes the connections of SQLite keep statements.
type files struct{ driver.Connector }

// Connect implements driver.Connector.
func (f files) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return keeping(conn, nil)
}

// useWAL makes readers and the writer independent of each other. The mode is a property of the file.
func useWAL(ctx context.Context, s *Store) error {
	var mode string
	if err := s.setup.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return s.failed("turn on the write-ahead log", err)
	}
	return nil
}

// lockFile takes the write lock of an empty database beside the real one: the operating system releases it when the process dies, and
// it leaves the real one free.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	if err := touch(path); err != nil {
		return nil, err
	}
	db, err := sqlitePool(path, 1, migrationWait, url.Values{"_txlock": {"exclusive"}})
	if err != nil {
		return nil, err
	}
	held, err := db.BeginTx(ctx, nil)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return func() {
		_ = held.Rollback()
		_ = db.Close()
	}, nil
}

func sqliteDurability(ctx context.Context, s *Store) ([]string, error) {
	var tables int // a connection learns of a new journal mode by reading
	if err := s.write.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return nil, s.failed("read the schema", err)
	}
	var warnings []string
	for _, c := range []struct{ pragma, want, warning string }{
		{"synchronous", "2", "SQLite does not run with synchronous=FULL: a power failure can take committed tokens and revocations"},
		{"journal_mode", "wal", "SQLite does not run with journal_mode=WAL; run: countersign migrate up"},
	} {
		var got string
		if err := s.write.QueryRowContext(ctx, "PRAGMA "+c.pragma).Scan(&got); err != nil {
			return nil, s.failed("read "+c.pragma, err)
		}
		if got != c.want {
			warnings = append(warnings, c.warning)
		}
	}
	return warnings, nil
}

// touch makes the file if it is not there, for its owner only; SQLite gives its other files the same mode.
func touch(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the path is the operator's
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the folder of the database file %s does not exist; create it with: mkdir -p -m 700 %s", path, filepath.Dir(path))
	case err != nil:
		return fmt.Errorf("open the database file: %w", err)
	}
	return file.Close()
}

func classifySQLite(err error) failure {
	cause, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return trouble
	}
	switch cause.Code() {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return duplicate
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return orphan
	}
	switch cause.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE,
		sqlite3.SQLITE_READONLY:
		return unfit
	}
	return trouble
}

func busySQLite(err error) bool {
	cause, ok := errors.AsType[*sqlite.Error](err)
	return ok && cause.Code()&0xff == sqlite3.SQLITE_BUSY
}

// refusedSQLite reports whether a failed COMMIT certainly did nothing.
func refusedSQLite(err error) bool {
	cause, ok := errors.AsType[*sqlite.Error](err)
	return ok && cause.Code()&0xff != sqlite3.SQLITE_IOERR
}
