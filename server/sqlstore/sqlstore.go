// Package sqlstore keeps the domain in a database: MySQL 8 or MariaDB from 10.11 on, or SQLite. It fills auth.Store,
// auth.Ledger and auth.UsageLog with one set of SQL; what differs between the two is in dialect.
package sqlstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

var (
	_ auth.Store    = (*Store)(nil)
	_ auth.Ledger   = (*Store)(nil)
	_ auth.UsageLog = (*Store)(nil)
)

// DefaultTimeout is how long a database may be silent before a call fails.
const DefaultTimeout = 2 * time.Second

// Config says which database to use and how.
type Config struct {
	// URL is `mysql://user:password@host:port/database` with the optional parameter tls (false, preferred, true or
	// skip-verify; preferred unless given), or `sqlite:PATH`.
	URL string
	// Timeout bounds every wait for the database: for a connection, for each of its answers, for SQLite's write lock.
	// DefaultTimeout if 0; at least 100 ms.
	Timeout time.Duration
	// Connections is how many connections to MySQL may be open at once; 16 if 0. SQLite has one for writing and as many as
	// there are processors for reading.
	Connections int
	// Existing makes a missing SQLite file an error, rather than a new database.
	Existing   bool
	Logger     *slog.Logger          // required
	Registerer prometheus.Registerer // nil: no metrics
}

// Store is an open database. Its methods may be called by any number of goroutines, also of several processes.
type Store struct {
	dialect dialect
	// write and read are the same pool in MySQL. setup is for schema changes, which may take long.
	write, read, setup *sql.DB
	writers            *semaphore.Weighted // SQLite: who may write next, in order; the pool itself picks anybody
	timeout            time.Duration
	log                *slog.Logger
	metrics            metrics
	holder             [16]byte     // names this store as the holder of a lease
	contended          atomic.Int64 // until when, in Unix nanoseconds, others are taken to want SQLite's write lock
	auditKeys          atomic.Pointer[auth.AuditKeys]
	denied             atomic.Bool // whether the database user may not alter the table of tokens
}

// Open returns the store at the URL. It creates a missing SQLite file, readable by its owner only, in a folder that exists,
// and otherwise does no I/O: a database that does not answer is found out by the first call. The error of a malformed URL
// does not hold it.
func Open(ctx context.Context, c Config) (*Store, error) {
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.Connections = cmp.Or(c.Connections, 16)
	open, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{timeout: c.Timeout, log: c.Logger, metrics: newMetrics(c.Registerer)}
	_, _ = rand.Read(s.holder[:]) // never fails: crypto/rand
	if err := open(ctx, s, c); err != nil {
		return nil, err
	}
	return s, nil
}

// Close waits for calls that are under way, and closes the connections.
func (s *Store) Close() error {
	var failed error
	for _, db := range []*sql.DB{s.setup, s.read, s.write} {
		if err := db.Close(); err != nil {
			failed = err
		}
	}
	return failed
}

// Ping reports whether the database answers: nil or fault.Unavailable.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.read.PingContext(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// Clock returns the time by the database's clock, which all servers share. Whoever asks does not know when, between question
// and answer, it was read.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var micros int64
	if err := s.read.QueryRowContext(ctx, "SELECT "+s.dialect.now).Scan(&micros); err != nil {
		return time.Time{}, s.failed("read the database's clock", err)
	}
	return time.UnixMicro(micros), nil
}

// Durability returns a warning for each setting of the database that lets a crash take what was committed.
func (s *Store) Durability(ctx context.Context) (warnings []string, err error) {
	return s.dialect.durability(ctx, s)
}

func unavailable(err error) error {
	return fault.Wrap(fault.Unavailable, "the database does not answer", err)
}
