//go:build long

package testbed_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/countersign/countersign/internal/testbed"
)

// A cluster goes on without a node, refuses to answer on the side of a split that has no quorum, and takes nodes back with what they missed.
func TestGalera(t *testing.T) {
	c := testbed.StartGalera(t)
	one, other := testbed.OpenMySQL(t, c.Nodes[0].URL()), testbed.OpenMySQL(t, c.Nodes[2].URL())
	if _, err := one.ExecContext(t.Context(), "CREATE TABLE kept (id INT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	insert := func(id int) {
		t.Helper()
		testbed.Wait(t, time.Minute, func() error {
			_, err := other.ExecContext(t.Context(), fmt.Sprintf("INSERT IGNORE INTO kept VALUES (%d)", id))
			return err
		})
	}
	rows := func(want int) {
		t.Helper()
		testbed.Wait(t, time.Minute, func() error {
			var got int
			err := one.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM kept").Scan(&got)
			if err == nil && got != want {
				err = fmt.Errorf("%d rows, want %d", got, want)
			}
			return err
		})
	}
	insert(1)
	rows(1)
	c.Nodes[0].Kill()
	insert(2)
	c.Nodes[0].Start()
	rows(2)

	c.Isolate(0)
	testbed.Wait(t, time.Minute, func() error {
		if state, err := c.State(t.Context(), 0); err != nil || state != "Initialized" {
			return fmt.Errorf("state %s: %w", state, err)
		}
		return nil
	})
	insert(3)
	refusal, refused := errors.AsType[*mysql.MySQLError](one.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM kept").Scan(new(int)))
	if !refused || refusal.Number != 1047 {
		t.Errorf("a node without quorum answers %v, want error 1047", refusal)
	}
	c.Rejoin(0)
	rows(3)
}
