package testbed

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// MariaDBVariable names the environment variable with the address of a MariaDB or MySQL that all
// test processes share: mysql://user:password@host:port/, for a user with all rights.
const MariaDBVariable = "COUNTERSIGN_TEST_MARIADB"

// Database is a database server that all tests of a run share: a test must leave its settings alone. It does not wait
// for the disk, which takes most of the time of many tests; one of [StartMariaDB] does. It is safe for concurrent use.
type Database struct {
	url string
}

//nolint:gochecknoglobals // one server for all tests of a process is the point
var sharedMariaDB = sync.OnceValues(func() (string, error) {
	if u, ok := os.LookupEnv(MariaDBVariable); ok {
		return u, nil
	}
	u, _, err := launchMariaDB()
	return u, err
})

// launchMariaDB starts a server that is nobody's in particular.
func launchMariaDB() (adminURL string, server *instance, err error) {
	m, err := mariadbTemplate()
	if err != nil {
		return "", nil, err
	}
	dir, err := m.newFolder()
	if err != nil {
		return "", nil, err
	}
	if server, err = launch(m.engine(unsynced()...), dir); err != nil {
		return "", nil, err
	}
	return m.url(server.addr(), ""), server, nil
}

// MariaDB returns the shared database server. The first call of a process may start it, which takes about a second.
func MariaDB(tb testing.TB) *Database {
	tb.Helper()
	u, err := sharedMariaDB()
	if err != nil {
		tb.Fatal(err)
	}
	return &Database{url: u}
}

// AdminURL returns the server's address for a user with all rights, without a schema.
func (d *Database) AdminURL() string { return d.url }

// New makes an empty schema and returns its address for a user who has all rights on it and none
// beyond. When the test ends the user's connections are cut and both are dropped.
func (d *Database) New(tb testing.TB) string {
	tb.Helper()
	db, err := openURL(d.url)
	if err != nil {
		tb.Fatal(err)
	}
	name, password := "test_"+strings.ToLower(rand.Text()[:12]), rand.Text()
	tb.Cleanup(func() {
		if err := errors.Join(drop(db, name), db.Close()); err != nil {
			tb.Errorf("drop schema: %v", err)
		}
	})
	for _, statement := range []string{
		"CREATE DATABASE " + name + " CHARACTER SET utf8mb4",
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", name, password),
		fmt.Sprintf("GRANT ALL PRIVILEGES ON %s.* TO '%s'@'%%'", name, name),
	} {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("make schema: %v", err)
		}
	}
	u, err := url.Parse(d.url)
	if err != nil {
		tb.Fatal("the address of the shared database is not a URL")
	}
	return mysqlURL(u.Host, name, password, name)
}

// drop removes a schema and the user of the same name, whose connections might hold locks on it.
func drop(db *sql.DB, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ids, err := connections(ctx, db, name)
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, _ = db.ExecContext(ctx, fmt.Sprintf("KILL %d", id)) // it may have ended meanwhile
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("DROP USER IF EXISTS '%s'@'%%'", name))
	_, e := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name)
	return errors.Join(err, e)
}

// connections returns the ids of a user's connections.
func connections(ctx context.Context, db *sql.DB, user string) ([]uint64, error) {
	rows, err := db.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE user = ?", user)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what matters
	var ids []uint64
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read connection: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
