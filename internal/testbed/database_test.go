package testbed_test

import (
	"context"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
)

func TestDatabaseSchemasAreApart(t *testing.T) {
	t.Parallel()
	server := testbed.MariaDB(t)
	own, other := testbed.OpenMySQL(t, server.New(t)), testbed.OpenMySQL(t, server.New(t))
	if _, err := own.ExecContext(t.Context(), "CREATE TABLE things (id INT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	var name, charset string
	err := own.QueryRowContext(t.Context(), "SELECT DATABASE(), @@character_set_database").Scan(&name, &charset)
	if err != nil {
		t.Fatal(err)
	}
	if charset != "utf8mb4" {
		t.Errorf("character set %s, want utf8mb4", charset)
	}
	for _, statement := range []string{"SELECT * FROM things", "SELECT * FROM " + name + ".things", "SET GLOBAL max_connections = 10"} {
		if _, err := other.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("another schema's user could do this: %s", statement)
		}
	}
}

// TestDatabaseSettings: a store warns of no setting of the shared server.
func TestDatabaseSettings(t *testing.T) {
	t.Parallel()
	var flush string
	err := testbed.OpenMySQL(t, testbed.MariaDB(t).AdminURL()).
		QueryRowContext(t.Context(), "SELECT @@innodb_flush_log_at_trx_commit").Scan(&flush)
	if err != nil || flush != "1" {
		t.Errorf("innodb_flush_log_at_trx_commit %q (%v), want 1", flush, err)
	}
}

// TestDatabaseDropsSchemaInUse leaves a transaction open that holds a lock on what is to be dropped.
func TestDatabaseDropsSchemaInUse(t *testing.T) {
	t.Parallel()
	server := testbed.MariaDB(t)
	admin := testbed.OpenMySQL(t, server.AdminURL())
	var name string
	outer := t
	t.Run("user", func(t *testing.T) {
		db := testbed.OpenMySQL(outer, server.New(t)) // the pool outlives the schema
		if err := db.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE things (id INT PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		tx, err := db.BeginTx(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO things VALUES (1)"); err != nil {
			t.Fatal(err)
		}
	})
	var left int
	err := admin.QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?)"+
		" + (SELECT COUNT(*) FROM mysql.user WHERE user = ?)", name, name).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d of schema and user are left (%v)", left, err)
	}
}

func TestRedisDatabasesAreApart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		url := testbed.Redis(t).URL()
		if seen[url] {
			t.Errorf("%s was given twice", url)
		}
		seen[url] = true
		client := openRedis(t, url)
		if n, err := client.DBSize(t.Context()).Result(); err != nil || n != 0 {
			t.Errorf("a new database holds %d keys (%v)", n, err)
		}
		if err := client.Set(t.Context(), "key", url, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisIsEmptiedAfterwards(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("user", func(t *testing.T) {
		url = testbed.Redis(t).URL()
		if err := openRedis(t, url).Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	if n, err := openRedis(t, url).DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys are left (%v)", n, err)
	}
}
