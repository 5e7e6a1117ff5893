package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

// sessions prepares connections for what a server may turn out to be.
type sessions struct {
	driver.Connector
	// idle is how long a transaction may wait for its next statement; 0: as long as the server allows.
	idle time.Duration
}

// Connect implements driver.Connector.
func (c sessions) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, conn); err != nil {
		_ = conn.Close() // the other error says more
		return nil, err
	}
	return keeping(conn, unpreparedMySQL)
}

func (c sessions) prepare(ctx context.Context, conn driver.Conn) error {
	session, ok := conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the database driver cannot run a statement without preparing it")
	}
	// Makes nodes of a Galera cluster wait, before each read, until they have applied what any node had committed before. Otherwise a server
	// that goes over to another node could see the change log go back, and miss a token or its revocation. A read takes a round
	// through the cluster for it. Nothing changes elsewhere.
	if err := set(ctx, session, "wsrep_sync_wait", "@@SESSION.wsrep_sync_wait | 1"); err != nil || c.idle == 0 {
		return err
	}
	// An instance that is cut off amid a transaction leaves its locks behind; without this, until the server takes the connection for dead.
	return set(ctx, session, "idle_transaction_timeout", strconv.Itoa(max(1, int(c.idle/time.Second))))
}

// set sets a variable of MariaDB. MySQL knows neither of those above, and nothing like them.
func set(ctx context.Context, session driver.ExecerContext, variable, value string) error {
	_, err := session.ExecContext(ctx, "SET SESSION "+variable+" = "+value, nil)
	if answer, ok := errors.AsType[*mysql.MySQLError](err); ok && answer.Number == errNoVariable {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", variable, err)
	}
	return nil
}
