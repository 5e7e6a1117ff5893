//go:build long

package sqlstore_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
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

// TestGaleraContention is why all servers should write to one node: how many changes of the log are committed in three seconds, and how many
// are given up, by 16 writers on one node and on three.
func TestGaleraContention(t *testing.T) {
	cluster := testbed.StartGalera(t)
	for _, nodes := range []int{1, 3} {
		urls := cluster.New(t)
		var stores []*storetest.Opened
		for node := range nodes {
			stores = append(stores, openedOn(t, urls, node, sqlstore.DefaultTimeout))
		}
		var committed, failed atomic.Int64
		var writing sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		for n := range 16 {
			writing.Go(func() {
				for ctx.Err() == nil {
					_, err := stores[n%nodes].Ledger.Revoke(t.Context(), []auth.Revocation{revocation()})
					switch {
					case err == nil:
						committed.Add(1)
					case errors.Is(err, fault.Unavailable) && !errors.Is(err, auth.ErrOutcomeUnknown):
						failed.Add(1)
					default:
						t.Errorf("%d nodes: %v", nodes, err)
					}
				}
			})
		}
		writing.Wait()
		t.Logf("16 writers on %d nodes: %d revocations committed, %d given up", nodes, committed.Load(), failed.Load())
		var sequence int64
		if err := raw(t, urls[0]).QueryRow("SELECT sequence FROM change_counter").Scan(&sequence); err != nil || sequence != committed.Load() {
			t.Errorf("%d nodes: the sequence is %d, %v, want %d", nodes, sequence, err, committed.Load())
		}
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
