package testbed

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// adminUser may do everything on a MariaDB that was started here; no other account is left on it.
const adminUser = "testbed"

// mariadb is a MariaDB data folder as mariadb-install-db leaves it. Copying one is quicker than making it.
type mariadb struct {
	template string
	password string // of adminUser
}

//nolint:gochecknoglobals // made once per test process, as it takes most of a second
var mariadbTemplate = sync.OnceValues(newMariaDBTemplate)

func newMariaDBTemplate() (*mariadb, error) {
	path, err := program("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	dir, err := newFolder("mariadb-template")
	if err != nil {
		return nil, err
	}
	m := &mariadb{template: filepath.Join(dir, "data"), password: rand.Text()}
	args := []string{
		"--no-defaults", "--datadir=" + m.template,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M",
	}
	cmd := command(path, slices.Concat(args, unsynced(), asRoot())...)
	var output bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
	proc, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	<-proc.gone
	if !cmd.ProcessState.Success() {
		return nil, fmt.Errorf("mariadb-install-db: %v\n%s", cmd.ProcessState, &output)
	}
	return m, nil
}

// asRoot returns the argument without which mariadbd refuses to run as root.
func asRoot() []string {
	if os.Getuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// unsynced returns the arguments with which mariadbd writes as always but does not wait for the disk. What it wrote outlives its process, yet
// not the machine's end, which ends the tests, too.
func unsynced() []string {
	return []string{"--innodb-flush-method=nosync", "--skip-innodb-doublewrite", "--debug-no-sync"}
}

// newFolder returns a new data folder.
func (m *mariadb) newFolder() (string, error) {
	dir, err := newFolder("mariadb")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(m.template)); err != nil {
		return "", fmt.Errorf("copy data folder: %w", err)
	}
	// mariadbd reads one statement per line before it lets anybody in, at every start.
	statements := fmt.Sprintf("DELETE FROM mysql.global_priv WHERE User NOT IN ('%[1]s', 'mariadb.sys');\n"+
		"FLUSH PRIVILEGES;\n"+
		"CREATE USER IF NOT EXISTS '%[1]s'@'127.0.0.1' IDENTIFIED BY '%[2]s';\n"+
		"GRANT ALL PRIVILEGES ON *.* TO '%[1]s'@'127.0.0.1' WITH GRANT OPTION;\n"+
		"CREATE DATABASE IF NOT EXISTS countersign;\n", adminUser, m.password)
	if err := os.WriteFile(filepath.Join(dir, "init.sql"), []byte(statements), 0o600); err != nil {
		return "", fmt.Errorf("write first statements: %w", err)
	}
	return dir, nil
}

func (m *mariadb) engine(extra ...string) engine {
	return engine{
		program: "mariadbd",
		args: func(dir string, port int) []string {
			args := []string{
				"--no-defaults",
				"--datadir=" + filepath.Join(dir, "data"), "--tmpdir=" + dir,
				"--init-file=" + filepath.Join(dir, "init.sql"),
				"--socket=mariadb.sock", // within the data folder: a full path is easily too long for a socket
				"--pid-file=mariadb.pid",
				"--bind-address=127.0.0.1",
				"--port=" + strconv.Itoa(port),
				"--skip-name-resolve",
				"--character-set-server=utf8mb4",
				"--max-connections=1000",
				"--innodb-log-file-size=16M",
				"--innodb-flush-log-at-trx-commit=1",
			}
			return append(append(args, asRoot()...), extra...)
		},
		probe: func(ctx context.Context, addr, dir string, _ int) error {
			db, err := openURL(m.url(addr, ""))
			if err != nil {
				return err
			}
			defer db.Close()
			var data string
			if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&data); err != nil {
				return err
			}
			if want := filepath.Join(dir, "data"); filepath.Clean(data) != want {
				return fmt.Errorf("%s is a server with its data in %s, not in %s", addr, data, want)
			}
			return nil
		},
	}
}

func (m *mariadb) url(addr, schema string) string {
	return mysqlURL(addr, adminUser, m.password, schema)
}

// StartMariaDB starts a MariaDB of the test's own, durable as in production. args are further
// options of mariadbd; of two equal ones the last counts. The URL's user has all rights; its
// schema is empty at first.
func StartMariaDB(tb testing.TB, args ...string) *Server {
	tb.Helper()
	m, err := mariadbTemplate()
	if err != nil {
		tb.Fatal(err)
	}
	dir, err := m.newFolder()
	if err != nil {
		tb.Fatal(err)
	}
	return startServer(tb, m.engine(args...), dir, func(addr string) string { return m.url(addr, "countersign") })
}

func mysqlURL(addr, user, password, schema string) string {
	u := url.URL{Scheme: "mysql", User: url.UserPassword(user, password), Host: addr, Path: "/" + schema}
	return u.String()
}

// openURL returns a pool for a URL of the form mysql://user:password@host:port/schema.
func openURL(rawURL string) (*sql.DB, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mysql" || u.Port() == "" {
		return nil, fmt.Errorf("the address of the database is not mysql://user:password@host:port/schema")
	}
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", net.JoinHostPort(u.Hostname(), u.Port())
	c.User, c.DBName = u.User.Username(), filepath.Base("/"+u.Path)
	if c.DBName == "/" {
		c.DBName = ""
	}
	c.Passwd, _ = u.User.Password()
	c.Logger = &mysql.NopLogger{} // a server that is still starting breaks connections
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return sql.OpenDB(connector), nil
}

// OpenMySQL returns a pool for a URL of this package, for looks at what is in a database. It is
// closed when the test ends.
func OpenMySQL(tb testing.TB, rawURL string) *sql.DB {
	tb.Helper()
	db, err := openURL(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close pool: %v", err)
		}
	})
	return db
}
