package sqlstore_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// TestPreparedStatements goes with statements that are prepared through what a server may do to them.
func TestPreparedStatements(t *testing.T) {
	server := testbed.StartMariaDB(t)
	s, admin := migrated(t, server.URL()), testbed.OpenMySQL(t, server.URL())
	insert := func(n int) {
		t.Helper()
		batch := tokens(n)
		if err := s.InsertTokens(t.Context(), batch, false); err != nil {
			t.Fatalf("%d tokens: %v", n, err)
		}
		for _, token := range []*auth.Token{batch[0], batch[n-1]} {
			if got, err := s.Token(t.Context(), token.ID); err != nil || got.Scope != token.Scope || got.Proof != token.Proof || !got.Expires.Equal(token.Expires) {
				t.Fatalf("%+v, %v; want %+v", got, err, token)
			}
		}
	}

	insert(5)
	insert(5)
	prepared := status(t, admin, "Com_stmt_prepare")
	insert(5)
	if again := status(t, admin, "Com_stmt_prepare"); again != prepared {
		t.Errorf("%d statements were prepared for a third batch of the same size", again-prepared)
	}
	if _, err := s.Maintain(t.Context(), time.Now(), 0); err != nil { // alters the table
		t.Fatal(err)
	}
	insert(5)

	for n := 1; n <= 300; n++ {
		insert(n)
	}
	if kept := status(t, admin, "Prepared_stmt_count"); kept < 10 || kept > 100 {
		t.Errorf("after batches of 300 sizes the server keeps %d statements", kept)
	}

	execute(t, admin, "SET GLOBAL max_prepared_stmt_count = 0")
	for _, n := range []int{5, 5, 299, 301, 301} {
		insert(n)
	}
	fresh := migrated(t, server.URL())
	if err := fresh.InsertTokens(t.Context(), tokens(3), false); err != nil {
		t.Errorf("where nothing can be prepared: %v", err)
	}
}

func status(t *testing.T, db *sql.DB, variable string) (value int) {
	t.Helper()
	var name string
	if err := db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE '"+variable+"'").Scan(&name, &value); err != nil {
		t.Fatal(err)
	}
	return value
}
