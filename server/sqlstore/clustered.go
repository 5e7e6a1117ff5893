package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// clustered makes connections to nodes of a Galera cluster wait, before each read, until the node has applied what any node had committed
// before. Otherwise a server that goes over to another node could see the change log go back, and miss a token or its revocation. A read
// takes a round through the cluster for it. Nothing changes elsewhere.
type clustered struct{ driver.Connector }

// Connect implements driver.Connector.
func (c clustered) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := waitForOthers(ctx, conn); err != nil {
		_ = conn.Close() // the other error says more
		return nil, err
	}
	return conn, nil
}

func waitForOthers(ctx context.Context, conn driver.Conn) error {
	session, ok := conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the database driver cannot run a statement without preparing it")
	}
	_, err := session.ExecContext(ctx, "SET SESSION wsrep_sync_wait = @@SESSION.wsrep_sync_wait | 1", nil)
	if answer, ok := errors.AsType[*mysql.MySQLError](err); ok && answer.Number == errNoVariable {
		return nil // MySQL, which knows nothing of Galera
	}
	if err != nil {
		return fmt.Errorf("set wsrep_sync_wait: %w", err)
	}
	return nil
}
