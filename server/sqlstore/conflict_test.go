package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// TestDeadlockedInsert: an INSERT that the database gives up in favour of another transaction is made again.
func TestDeadlockedInsert(t *testing.T) {
	t.Parallel()
	direct := testbed.MariaDB(t).New(t)
	s, db := migrated(t, direct), raw(t, direct)
	tokens := []*auth.Token{freshToken(), freshToken()}
	other, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	const insert = "INSERT INTO tokens (jti, client, credential, api, scope, issued, expires, revision) VALUES (?, '', '', '', '', 0, 0, 0)"
	rows := []*auth.Token{tokens[1]} // and more, so that the other one has more to lose
	for range 50 {
		rows = append(rows, freshToken())
	}
	for _, row := range rows {
		if _, err := other.Exec(insert, row.ID[:]); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() { done <- s.InsertTokens(t.Context(), tokens, false) }()
	testbed.Wait(t, 10*time.Second, func() error {
		waiting, query := 0, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO tokens (jti, client, credential, api, scope, issued, expires, revision, proof%'"
		if err := db.QueryRow(query).Scan(&waiting); err != nil || waiting == 0 {
			return fmt.Errorf("%d inserts wait: %w", waiting, err)
		}
		return nil
	})
	if _, err := other.Exec(insert, tokens[0].ID[:]); err != nil {
		t.Fatalf("the other transaction was given up: %v", err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("InsertTokens: %v", err)
	}
	for _, token := range tokens {
		if _, err := s.Token(t.Context(), token.ID); err != nil {
			t.Errorf("Token: %v", err)
		}
	}
}

// TestServerThatTakesNoWrites: a connection to a server that became read-only is dropped. The next one may lead to its successor.
func TestServerThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	server := testbed.StartMariaDB(t, "--log-output=TABLE", "--general-log=1")
	admin := testbed.OpenMySQL(t, server.URL())
	migrated(t, server.URL())
	execute(t, admin, "CREATE USER 'w'@'%' IDENTIFIED BY 'w'", "GRANT SELECT, INSERT, UPDATE, DELETE ON countersign.* TO 'w'@'%'")
	where, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	where.User = url.UserPassword("w", "w")
	s := open(t, where.String())
	s.Chain(auditKeys())
	if err := write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	before := connectionsOf(t, admin, "w")
	execute(t, admin, "SET GLOBAL read_only = 1")
	for _, name := range []string{"Update", "InsertTokens", "Revoke", "Maintain"} {
		if err := calls(s)[name](t.Context()); !errors.Is(err, fault.Unavailable) || errors.Is(err, auth.ErrOutcomeUnknown) {
			t.Errorf("%s: got %v, want fault.Unavailable", name, err)
		}
	}
	execute(t, admin, "SET GLOBAL read_only = 0")
	if err := write(t.Context(), s); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	for _, id := range connectionsOf(t, admin, "w") {
		if slices.Contains(before, id) {
			t.Errorf("connection %s to the server that was read-only is still used", id)
		}
	}
	var causal int
	query := "SELECT COUNT(*) FROM mysql.general_log WHERE user_host LIKE 'w[%' AND argument LIKE 'SET SESSION wsrep_sync_wait%'"
	if err := admin.QueryRow(query).Scan(&causal); err != nil || causal < 2 {
		t.Errorf("%d connections wait for other nodes before they read, %v", causal, err)
	}
}

func connectionsOf(t *testing.T, db *sql.DB, user string) []string {
	t.Helper()
	var ids sql.NullString
	if err := db.QueryRow("SELECT GROUP_CONCAT(id) FROM information_schema.processlist WHERE user = ?", user).Scan(&ids); err != nil {
		t.Fatal(err)
	}
	return strings.Split(ids.String, ",")
}

// TestNamesAreNoConflicts: what somebody wrote is in the error of the database, too, and must not pass for the name of a key.
func TestNamesAreNoConflicts(t *testing.T) {
	t.Parallel()
	s := migrated(t, testbed.MariaDB(t).New(t))
	tries := 0
	put := func() error {
		now := time.Now().UTC()
		return s.Update(t.Context(), func(tx auth.Tx) error {
			tries++
			return tx.Clients().PutClient(t.Context(), &auth.Client{
				ID: auth.NewClientID(now), Name: "audit_events_number", Status: auth.Active, AuthMethod: auth.SecretBasic, Created: now, Updated: now,
			})
		})
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if err := put(); !errors.Is(err, fault.Conflict) || tries != 2 {
		t.Errorf("a name that is taken: %v after %d tries, want fault.Conflict after 2", err, tries)
	}
}
