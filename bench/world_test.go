package bench

import (
	"net/url"
	"os/exec"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/countersign/countersign/internal/testbed"
)

// world is a durable MariaDB with our server and the limit on it, each with a schema of its own.
type world struct {
	*issuer
	mariadb *testbed.Server
	limit   program
}

func newWorld(b *testing.B) *world {
	b.Helper()
	// The redo log is made as large as one in production, so that no side has to wait for its checkpoints.
	database := testbed.StartMariaDB(b, "--innodb-log-file-size=1G", "--innodb-buffer-pool-size=512M")
	w := &world{issuer: newScene(b).startIssuer(database.URL()), mariadb: database}
	w.check(w.createSchema())
	w.limit = w.startLimit("limit")
	return w
}

// createSchema makes the limit's.
func (w *world) createSchema() error {
	_, err := testbed.OpenMySQL(w, w.mariadb.URL()).ExecContext(w.Context(), "CREATE DATABASE bare")
	return err
}

// startLimit runs the limit on a schema of its own.
func (w *world) startLimit(name string, settings ...string) program {
	w.Helper()
	u, err := url.Parse(w.mariadb.URL())
	w.check(err)
	dsn := mysql.NewConfig()
	dsn.Net, dsn.Addr, dsn.User, dsn.DBName = "tcp", u.Host, u.User.Username(), "bare"
	dsn.Passwd, _ = u.User.Password()
	address := w.loopback()
	cmd := exec.Command(w.build("limit", "./limit"))
	cmd.Env = append([]string{
		"LIMIT_LISTEN=" + address, "LIMIT_DATABASE=" + dsn.FormatDSN(),
		"LIMIT_CLIENT=" + w.caller.ID.String(), "LIMIT_SECRET=" + w.caller.Secret.Reveal(),
	}, settings...)
	return w.start(name, cmd, address)
}
