package issue_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/issue"
	"github.com/countersign/countersign/server/memory"
	"github.com/countersign/countersign/server/sqlstore"
)

// instance is a writer and a directory on a database, as a server has them.
type instance struct {
	*issue.Writer
	directory *memory.Directory
}

func database(tb testing.TB) *sqlstore.Store {
	store, err := sqlstore.Open(tb.Context(), sqlstore.Config{
		URL: "sqlite:" + filepath.Join(tb.TempDir(), "db"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	store.Chain(auth.NewAuditKeys(map[uint32][]byte{1: []byte("audit")}))
	if err := store.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return store
}

// newInstance starts an instance that learns of nothing by itself: its directory reads when it is told to.
func newInstance(tb testing.TB, store *sqlstore.Store, c issue.Config) *instance {
	d := memory.New(memory.Config{Store: store, Poll: time.Hour})
	if err := d.Load(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	tb.Cleanup(func() { cancel(); running.Wait() })
	c.Ledger, c.Directory, c.Ready = store, d, d.Ready
	w := issue.New(c)
	start(tb, w)
	return &instance{w, d}
}

// issue asks for a token as a handler does.
func (i *instance) issue(ctx context.Context) (*auth.Token, error) {
	return i.Issue(ctx, func() (*auth.Token, error) {
		now := time.Now().Truncate(time.Second).UTC()
		return &auth.Token{
			ID: auth.NewTokenID(now, now.Add(time.Hour)), Scope: "read", Issued: now, Expires: now.Add(time.Hour),
			Revision: i.directory.Sequence(),
		}, nil
	}, nil)
}

// Two instances on one database issue and revoke at the same time. Every token has its row; single tokens that are taken back
// keep nobody from being issued one; and nothing is issued from a state before a revocation of more that was acknowledged already.
func TestTwoInstances(t *testing.T) {
	store := database(t)
	registry := prometheus.NewRegistry()
	instances := []*instance{newInstance(t, store, issue.Config{Registerer: registry}), newInstance(t, store, issue.Config{})}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			one, other := instances[i%2], instances[1-i%2]
			for range 5 {
				r := revocation(byte(i))
				if i == 0 {
					r.Change.Kind = auth.RevokeClient
				}
				sequence, err := one.Revoke(t.Context(), r)
				if err != nil || one.directory.Sequence() < sequence {
					t.Errorf("revoked at %d, known up to %d: %v", sequence, one.directory.Sequence(), err)
					return
				}
				got, err := other.issue(t.Context())
				if err != nil || i == 0 && got.Revision < sequence {
					t.Errorf("%+v, %v: a client was taken back at %d before", got, err, sequence)
					return
				}
				row, err := store.Token(t.Context(), got.ID)
				if err != nil || row.Revision != got.Revision {
					t.Errorf("row %+v: %v", row, err)
				}
			}
		})
	}
	all.Wait()
	want := `
# HELP countersign_write_queue_length Rows that wait to be written.
# TYPE countersign_write_queue_length gauge
countersign_write_queue_length{writer="revocation"} 0
countersign_write_queue_length{writer="token"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "countersign_write_queue_length"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "countersign_writes_total"); n != 14 || err != nil {
		t.Errorf("%d outcomes: %v", n, err)
	}
}
