//go:build long

package sqlstore_test

import (
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/storetest"
)

// TestGalera is the suite on a Galera cluster: with all instances on one node, as is recommended, and with each instance on another one.
func TestGalera(t *testing.T) {
	cluster := testbed.StartGalera(t)
	for _, tt := range []struct {
		name  string
		nodes int
	}{{"one node", 1}, {"a node each", 3}} {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) *storetest.Opened { return openedOn(t, cluster.New(t)[:tt.nodes], 0) })
		})
	}
}

// openedOn opens the database on a node, and then again on the one after it.
func openedOn(t *testing.T, urls []string, node int) *storetest.Opened {
	s := migrated(t, urls[node])
	return &storetest.Opened{Store: s, Ledger: s, Usage: s, Keys: auditKeys(), Again: func(t *testing.T) *storetest.Opened {
		return openedOn(t, urls, (node+1)%len(urls))
	}}
}
