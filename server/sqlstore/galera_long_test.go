//go:build long

package sqlstore_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/sqlstore"
	"github.com/countersign/countersign/server/storetest"
)

// TestGalera is the suite on a Galera cluster: with all instances on one node, as is recommended, and with each instance on another one,
// which takes more patience than the default.
func TestGalera(t *testing.T) {
	cluster := testbed.StartGalera(t)
	for _, tt := range []struct {
		name    string
		nodes   int
		timeout time.Duration
	}{{"one node", 1, sqlstore.DefaultTimeout}, {"a node each", 3, 30 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) *storetest.Opened { return openedOn(t, cluster.New(t)[:tt.nodes], 0, tt.timeout) })
		})
	}
}

// openedOn opens the database on a node, and then again on the one after it.
func openedOn(t *testing.T, urls []string, node int, timeout time.Duration) *storetest.Opened {
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: urls[node], Timeout: timeout, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Chain(auditKeys())
	return &storetest.Opened{Store: s, Ledger: s, Usage: s, Keys: auditKeys(), Again: func(t *testing.T) *storetest.Opened {
		return openedOn(t, urls, (node+1)%len(urls), timeout)
	}}
}
