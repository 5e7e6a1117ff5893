package sqlstore_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

// raw opens the database without the store.
func raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	path, isSQLite := strings.CutPrefix(url, "sqlite:")
	if !isSQLite {
		return testbed.OpenMySQL(t, url)
	}
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func wantStatus(t *testing.T, s *sqlstore.Store, want sqlstore.Status, refused string) {
	t.Helper()
	got, err := s.Status(t.Context())
	if err != nil || got != want {
		t.Fatalf("Status: %+v, %v, want %+v", got, err, want)
	}
	err = got.Check()
	if refused == "" && err != nil || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
		t.Errorf("Check: %v, want %q", err, refused)
	}
}

func TestMigrateByTenProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		output := processes(t, 10, "migrate", url)
		if n := strings.Count(output, "schema migrated"); n != 3 {
			t.Errorf("%d migrations were done\n%s", n, output)
		}
		wantStatus(t, open(t, url), sqlstore.Status{Binary: 3, Database: 3, MinCompatible: 2}, "")
	})
}

func TestSchemaLevels(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		wantStatus(t, s, sqlstore.Status{Binary: 3}, "countersign migrate up")
		err := s.Update(t.Context(), func(auth.Tx) error { return nil })
		if fault.From(err) == nil || fault.From(err).Code != fault.Unavailable {
			t.Errorf("update of an empty database: %v, want fault.Unavailable", err)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := generation(t, s)
		db := raw(t, url)
		execute(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
		wantStatus(t, s, sqlstore.Status{Binary: 3, Database: 999, MinCompatible: 2}, "")
		if err := s.Migrate(t.Context()); err != nil {
			t.Errorf("Migrate of a newer schema: %v", err)
		}
		if generation(t, s) != before {
			t.Error("the generation changed")
		}
		execute(t, db, "UPDATE schema_info SET min_compatible = 4")
		wantStatus(t, s, sqlstore.Status{Binary: 3, Database: 999, MinCompatible: 4}, "upgrade Countersign")
		if err := s.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "upgrade Countersign") {
			t.Errorf("Migrate of an incompatible schema: %v", err)
		}
	})
}

// TestMigrateAfterCrash: the setup goes on where it stopped.
func TestMigrateAfterCrash(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := migrated(t, url)
		before := generation(t, s)
		db := raw(t, url)
		execute(t, db, "DELETE FROM change_counter")
		if err := s.View(t.Context(), func(tx auth.Tx) error {
			_, err := tx.Changes().Position(t.Context())
			return err
		}); fault.From(err) == nil || fault.From(err).Code != fault.Unavailable {
			t.Errorf("position without a counter: %v, want fault.Unavailable", err)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if generation(t, s) == before {
			t.Error("a new change log has the generation of the old one")
		}
		if strings.HasPrefix(url, "mysql:") { // DDL is not transactional there
			execute(t, db, "DROP TABLE tokens", "DROP TABLE leases", "DELETE FROM goose_db_version WHERE version_id > 0")
			if err := s.Migrate(t.Context()); err != nil {
				t.Errorf("Migrate of half a schema: %v", err)
			}
			wantStatus(t, s, sqlstore.Status{Binary: 3, Database: 3, MinCompatible: 2}, "")
		}
	})
}

func generation(t *testing.T, s *sqlstore.Store) (g uint64) {
	t.Helper()
	if err := s.View(t.Context(), func(tx auth.Tx) error {
		p, err := tx.Changes().Position(t.Context())
		g = p.Generation
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, url, want string }{
		{"no scheme", "countersign.db", "sqlite:PATH"},
		{"unknown scheme", "postgres://u:hunter2@h/db", "mysql://user:password@host:port/database"},
		{"no path", "sqlite:", "sqlite:PATH"},
		{"in memory", "sqlite::memory:", "names no file"},
		{"path as host", "sqlite://hunter2", "names no file"},
		{"no folder", "sqlite:" + filepath.Join(dir, "a", "b.db"), "mkdir -p -m 700 " + filepath.Join(dir, "a")},
		{"a folder", "sqlite:" + dir, "is a directory"},
		{"no user", "mysql://h:1/db", "lacks a user"},
		{"no database", "mysql://u:hunter2@h:1/", "lacks"},
		{"no host", "mysql://u:hunter2@/db", "lacks"},
		{"bad escape", "mysql://u:hunter2%zz@h/db", "percent-encode"},
		{"bad port", "mysql://u:hunter2@h:port/db", "percent-encode"},
		{"unknown parameter", "mysql://u:hunter2@h/db?parseTime=true", `"parseTime"; allowed is tls`},
		{"unknown value", "mysql://u:hunter2@h/db?tls=maybe", "false, preferred, true, skip-verify"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: tt.url, Logger: discard()})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q and no password", err, tt.want)
			}
		})
	}
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: "mysql://u:hunter2@127.0.0.1:" + unused(t) + "/db?tls=false", Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(t.Context()); fault.From(err) == nil || fault.From(err).Code != fault.Unavailable || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Ping of nothing: %v, want fault.Unavailable without the password", err)
	}
}

func TestSQLiteFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "countersign.db")
	s := migrated(t, "sqlite:"+path)
	if err := write(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path + "-wal", path + "-shm"} {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", file, err)
		}
	}
}

func TestDurability(t *testing.T) {
	warnings := func(s *sqlstore.Store) []string {
		got, err := s.Durability(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	onEach(t, func(t *testing.T, url string) {
		if got := warnings(migrated(t, url)); len(got) > 0 {
			t.Errorf("warnings: %q", got)
		}
	})
	t.Run("sqlite without a write-ahead log", func(t *testing.T) {
		url := "sqlite:" + filepath.Join(t.TempDir(), "db")
		execute(t, raw(t, url), "CREATE TABLE t (a)")
		s := open(t, url)
		if got := warnings(s); len(got) != 1 || !strings.Contains(got[0], "migrate up") {
			t.Errorf("warnings: %q", got)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := warnings(s); len(got) > 0 {
			t.Errorf("warnings after Migrate: %q", got)
		}
	})
	t.Run("mysql for speed", func(t *testing.T) {
		server := testbed.StartMariaDB(t, "--innodb-flush-log-at-trx-commit=2", "--log-bin=binlog", "--sync-binlog=0")
		got := warnings(open(t, server.URL()))
		if !slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, "innodb_flush_log_at_trx_commit is 2") }) ||
			!slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, "sync_binlog is 0") }) {
			t.Errorf("warnings: %q", got)
		}
	})
}
