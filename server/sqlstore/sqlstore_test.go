package sqlstore_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
	"github.com/countersign/countersign/server/storetest"
)

// open opens a store without touching its schema.
func open(t testing.TB, url string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: url, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func migrated(t testing.TB, url string) *sqlstore.Store {
	t.Helper()
	s := open(t, url)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Chain(auditKeys())
	return s
}

// auditKeys are those of every database here.
func auditKeys() *auth.AuditKeys { return auth.NewAuditKeys(map[uint32][]byte{1: []byte("audit")}) }

// databases are the places where everything must work alike.
func databases() map[string]func(testing.TB) string {
	return map[string]func(testing.TB) string{
		"sqlite": func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "what? 100%#.db") },
		"mysql":  func(t testing.TB) string { return testbed.MariaDB(t).New(t) },
	}
}

func onEach(t *testing.T, test func(t *testing.T, url string)) {
	for name, url := range databases() {
		t.Run(name, func(t *testing.T) { test(t, url(t)) })
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	for name, url := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) *storetest.Opened {
				t.Parallel() // each part has a database of its own
				return opened(t, url(t))
			})
		})
	}
}

func opened(t *testing.T, url string) *storetest.Opened {
	s := migrated(t, url)
	return &storetest.Opened{Store: s, Ledger: s, Usage: s, Keys: auditKeys(), Again: func(t *testing.T) *storetest.Opened { return opened(t, url) }}
}

func TestSystem(t *testing.T) {
	for name, url := range databases() {
		t.Run(name, func(t *testing.T) {
			want := map[string][]string{"sqlite": {"sqlite"}, "mysql": {"mysql", "mariadb"}}[name]
			if got, err := open(t, url(t)).System(t.Context()); err != nil || !slices.Contains(want, got) {
				t.Errorf("%q, %v; want one of %q", got, err, want)
			}
		})
	}
}

func TestClock(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		before := time.Now()
		got, err := s.Clock(t.Context())
		// SQLite counts milliseconds.
		if after := time.Now(); err != nil || got.Before(before.Add(-2*time.Millisecond)) || got.After(after.Add(2*time.Millisecond)) {
			t.Errorf("%v, %v: want one between %v and %v", got, err, before, after)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := s.Clock(ctx); err == nil || !got.IsZero() {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
