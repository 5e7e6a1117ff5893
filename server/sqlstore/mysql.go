package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
)

// mysqlDialect reads with REPEATABLE READ, which makes a View one snapshot, and writes with READ COMMITTED: an update sees the newest
// rows, since it holds the lock on the counter, and locks no gaps.
func mysqlDialect() dialect {
	return dialect{
		name:       "mysql",
		goose:      goose.DialectMySQL,
		forUpdate:  " FOR UPDATE",
		now:        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))", // NOW is ambiguous for an hour each autumn
		tables:     "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?",
		pinned:     func(column string) string { return column + " >= ? AND " + column + " <= ?" },
		join:       " STRAIGHT_JOIN ",
		orUpdate:   func(string) string { return "ON DUPLICATE KEY UPDATE " },
		added:      func(column string) string { return "VALUES(" + column + ")" },
		orIgnore:   "INSERT IGNORE",
		update:     sql.TxOptions{Isolation: sql.LevelReadCommitted},
		view:       sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		classify:   classifyMySQL,
		refused:    refusedMySQL,
		unusable:   unusableMySQL,
		lock:       lockSchema,
		prepare:    func(context.Context, *Store) error { return nil },
		durability: mysqlDurability,
		facts:      mysqlFacts,
		partitions: true,
	}
}

// maxIdle is how long the server keeps a connection on which nothing is asked.
const maxIdle = time.Minute

// openMySQL opens a pool for everything that must be answered within the timeout, and one for changes of the schema. Parameters are
// interpolated by the driver, so that a statement takes one round trip, but for those that are kept prepared.
func openMySQL(s *Store, o Config, c *mysql.Config) error {
	s.dialect = mysqlDialect()
	c.Timeout, c.ReadTimeout, c.WriteTimeout = o.Timeout, o.Timeout, o.Timeout
	c.InterpolateParams = true
	c.ClientFoundRows = true // as SQLite counts
	c.Logger = driverLog{o.Logger}
	lockWait := max(1, int(o.Timeout/time.Second)-1) // below the timeout, so that the connection outlives it
	c.Params = map[string]string{
		"sql_mode":                 "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
		"innodb_lock_wait_timeout": strconv.Itoa(lockWait),
		// A change of the schema that waits makes everybody else wait behind it.
		"lock_wait_timeout": strconv.Itoa(lockWait),
		"wait_timeout":      strconv.Itoa(int(maxIdle / time.Second)), // what MySQL has to end a transaction by whose instance was cut off
	}
	if err := c.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return fmt.Errorf("configure the database driver: %w", err)
	}
	patient := c.Clone()
	patient.ReadTimeout = migrationWait
	patient.Params["wait_timeout"] = "28800" // the connection that holds the lock idles meanwhile
	calls, err := mysql.NewConnector(c)
	if err != nil {
		return fmt.Errorf("configure the database driver: %w", err)
	}
	changes, err := mysql.NewConnector(patient)
	if err != nil {
		return fmt.Errorf("configure the database driver: %w", err)
	}
	s.write = sql.OpenDB(sessions{calls, o.Timeout})
	s.write.SetMaxOpenConns(o.Connections)
	s.write.SetMaxIdleConns(o.Connections)
	s.write.SetConnMaxIdleTime(maxIdle / 2)
	s.write.SetConnMaxLifetime(30 * time.Minute) // so that connections return to a server that was away
	s.read = s.write
	s.setup = sql.OpenDB(sessions{Connector: changes})
	s.setup.SetMaxOpenConns(2)
	s.setup.SetMaxIdleConns(0)
	return nil
}

// driverLog takes what the driver has to say about connections. The error that the caller gets says less.
type driverLog struct{ log *slog.Logger }

// Print implements mysql.Logger.
func (l driverLog) Print(v ...any) {
	l.log.Debug("database driver", "message", fmt.Sprint(v...))
}

// The numbers of errors that mean something to us. Sorted by what.
const (
	errDeadlock      = 1213 // also what Galera answers when another node was first
	errRowChanged    = 1020 // MariaDB with innodb_snapshot_isolation
	errDuplicate     = 1062
	errReferenced    = 1451
	errNoReferenced  = 1452
	errSyntax        = 1064
	errNull          = 1048
	errOutOfRange    = 1264
	errTruncated     = 1265
	errWrongValue    = 1366
	errTooLong       = 1406
	errReadOnly      = 1792
	errCheck         = 3819 // MySQL
	errCheckMariaDB  = 4025
	errNoDatabase    = 1044
	errNoTable       = 1142
	errNoPrivilege   = 1227
	errAbsent        = 1146
	errAbsentToDrop  = 1051
	errDuringCommit  = 1180
	errShutdown      = 1053
	errInterrupted   = 1317
	errKilled        = 1927
	errUnknown       = 1105
	errTimeExceeded  = 3024
	errTimeExceeded2 = 1969
	errNotPrepared   = 1047 // Galera: the node has no quorum, or is still joining
	errOption        = 1290 // the server is read-only
	errReadOnlyMode  = 1836
	errNoVariable    = 1193
	errNoStatement   = 1243 // a proxy in between took the statement for another's
	errManyPrepared  = 1461
	errTableChanged  = 1615 // again and again, while the statement was prepared anew
)

// auditNumberKey is the unique key of the numbers of audit records. Whoever gives them out holds the lock on the change counter, and still
// finds one taken if another node of a Galera cluster was quicker.
const auditNumberKey = "audit_events_number"

func classifyMySQL(err error) failure {
	cause, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return trouble
	}
	switch cause.Number {
	case errDeadlock, errRowChanged:
		return conflict
	case errDuplicate:
		if strings.HasSuffix(cause.Message, auditNumberKey+"'") { // the key comes last: before it is what somebody wrote
			return conflict
		}
		return duplicate
	case errReferenced, errNoReferenced:
		return orphan
	case errSyntax, errNull, errOutOfRange, errTruncated, errWrongValue, errTooLong, errReadOnly, errCheck, errCheckMariaDB:
		return unfit
	case errNoDatabase, errNoTable, errNoPrivilege:
		return denied
	}
	return trouble
}

// noSuchTable reports whether a statement failed only because its table does not exist.
func noSuchTable(err error) bool {
	cause, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && (cause.Number == errAbsent || cause.Number == errAbsentToDrop)
}

// refusedMySQL: the server itself said no, or the connection was found dead before anything was sent.
func refusedMySQL(err error) bool {
	cause, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return errors.Is(err, driver.ErrBadConn)
	}
	switch cause.Number {
	case errDuringCommit, errShutdown, errInterrupted, errKilled, errUnknown, errTimeExceeded, errTimeExceeded2:
		return false
	}
	return true
}

// unusableMySQL: the server will say no to others of our calls, too, as long as it is what it is now: a Galera node without quorum, a
// primary that became a replica.
func unusableMySQL(err error) bool {
	cause, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && (cause.Number == errNotPrepared || cause.Number == errOption || cause.Number == errReadOnlyMode)
}

// unpreparedMySQL: the server ran nothing, because it has no prepared statement for it.
func unpreparedMySQL(err error) bool {
	cause, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && (cause.Number == errNoStatement || cause.Number == errManyPrepared || cause.Number == errTableChanged)
}

// lockSchema takes a lock of the server that belongs to one connection, and so ends with it. In a Galera cluster such a lock holds on one
// node only: let instances that start together use the same one.
func lockSchema(ctx context.Context, s *Store) (unlock func(), err error) {
	conn, err := s.setup.Conn(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	const name = "CONCAT('countersign.', SHA1(DATABASE()))"
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+name+", ?)", int((migrationWait - 10*time.Second).Seconds())).Scan(&got); err != nil {
		_ = conn.Close()
		return nil, s.failed("lock the schema", err)
	}
	if got.Int64 != 1 {
		_ = conn.Close()
		return nil, errors.New("it takes longer than " + migrationWait.String())
	}
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK("+name+")")
		_ = conn.Close()
	}, nil
}

func mysqlDurability(ctx context.Context, s *Store) ([]string, error) {
	var flush, sync, binlog int64
	err := s.read.QueryRowContext(ctx, "SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin").Scan(&flush, &sync, &binlog)
	if err != nil {
		return nil, s.failed("read the durability settings", err)
	}
	var warnings []string
	if flush != 1 {
		warnings = append(warnings, fmt.Sprintf("innodb_flush_log_at_trx_commit is %d, not 1: a crash can take committed tokens and revocations", flush))
	}
	if binlog != 0 && sync != 1 {
		warnings = append(warnings, fmt.Sprintf("sync_binlog is %d, not 1: after a crash replicas may miss or have more than the primary", sync))
	}
	return warnings, nil
}
