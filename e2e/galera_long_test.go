//go:build long

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/countersign/countersign/internal/testbed"
)

// galeraWorld is a cluster with a database on it, and an address by which all servers write to the same node.
type galeraWorld struct {
	*seeded

	cluster  *testbed.Cluster
	balancer *lbProcess
}

// newGaleraWorld starts the cluster and, in front of it, the load balancer as docs/production-trials.md has it.
func newGaleraWorld(t *testing.T) *galeraWorld {
	t.Helper()
	w := &galeraWorld{cluster: testbed.StartGalera(t)}
	var targets []string
	for i, node := range w.cluster.Nodes {
		check := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			if state, err := w.cluster.State(r.Context(), i); err != nil || state != "Synced" && state != "Donor/Desynced" {
				out.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		t.Cleanup(check.Close)
		targets = append(targets, fmt.Sprintf("{url: %q, health: %q}", node.Addr(), strings.TrimPrefix(check.URL, "http://")))
	}
	w.balancer = startLB(t, "mode: tcp, pool: main",
		fmt.Sprintf("main: {targets: [%s], policy: failover, health: {path: /, interval: 500ms}}", strings.Join(targets, ", ")))
	w.seeded = seedClients(t, through(t, w.cluster.Nodes[0].URL(), w.balancer.Address), filepath.Join(t.TempDir(), "master.key"))
	return w
}

// TestGalera is what a cluster of three nodes does to a deployment, one trial after the other on the same cluster.
func TestGalera(t *testing.T) {
	w := newGaleraWorld(t)
	t.Run("the writer is killed", w.writerKilled)
	t.Run("partitions come and go", w.partitionsTurn)
	t.Run("a node is cut off", w.nodeCutOff)
	t.Run("two nodes are written to", w.twoWriters)
}

// writerKilled kills the node that all servers use, under load, lets it come back, and kills the one that took over.
func (w *galeraWorld) writerKilled(t *testing.T) {
	m := startMixed(t, w.seeded, startInstance(t, w.seeded), startInstance(t, w.seeded))
	m.Await(200, 20)
	t.Logf("before: %s", m.Figures())
	for _, writer := range []int{0, 1} {
		m.Begin()
		w.cluster.Nodes[writer].Kill()
		m.Await(200, 20)
		t.Logf("node %d, the writer, killed: %s", writer+1, m.Figures())
		m.Begin()
		w.cluster.Nodes[writer].Start()
		m.Await(200, 20)
		t.Logf("node %d back: %s", writer+1, m.Figures())
	}
	m.Check(t)
	w.checkNodes(t, m)
}

// checkNodes checks that every node has every token, and a change log without a gap.
func (w *galeraWorld) checkNodes(t *testing.T, m *mixed) {
	t.Helper()
	for i, node := range w.cluster.Nodes {
		if n := lost(t, node.URL(), append(m.good, m.revoked...)); n > 0 {
			t.Errorf("node %d lacks %d tokens", i+1, n)
		}
		var changes, first, last, counter int
		query := "SELECT COUNT(*), MIN(sequence), MAX(sequence), (SELECT sequence FROM change_counter) FROM changes"
		if err := testbed.OpenMySQL(t, node.URL()).QueryRow(query).Scan(&changes, &first, &last, &counter); err != nil {
			t.Fatal(err)
		}
		if changes != last-first+1 || last != counter {
			t.Errorf("node %d has %d changes from %d to %d, the counter is %d", i+1, changes, first, last, counter)
		}
		t.Logf("node %d has every token and the changes %d to %d", i+1, first, last)
	}
}

// nodeCutOff cuts the first node off from the others while one server uses it and another one the second node. Who revokes by the second
// must be believed by the first, or get 503; what is good must not be called inactive.
func (w *galeraWorld) nodeCutOff(t *testing.T) {
	alone := startInstance(t, w.seeded, "database="+w.cluster.Nodes[0].URL())
	beside := startInstance(t, w.seeded, "database="+w.cluster.Nodes[1].URL())
	m := startMixed(t, w.seeded, alone, beside)
	m.Await(100, 10)
	m.Begin()
	began := time.Now()
	w.cluster.Isolate(0)
	t.Logf("reads that do not wait for other nodes were answered for %v more by the node that was cut off", w.answersFor(t, 0).Round(10*time.Millisecond))
	m.Await(50, 5) // by the server beside
	testbed.Wait(t, startWithin, func() error { return unready(t.Context(), alone) })
	if err := beside.Ready(t.Context()); err != nil {
		t.Errorf("the server on the other side: %v", err)
	}
	t.Logf("cut off for %v: %s", time.Since(began).Round(time.Second), m.Figures())
	w.cluster.Rejoin(0)
	whole := time.Now()
	testbed.Wait(t, startWithin, func() error { return alone.Ready(t.Context()) })
	t.Logf("the server on that node was ready %v after the node was", time.Since(whole).Round(time.Millisecond))
	m.Await(50, 5)
	m.Check(t)
	w.checkNodes(t, m)
}

// partitionsTurn makes and drops a partition again and again under load, as servers do once an hour. All nodes wait for it, and give up what is in
// its way.
func (w *galeraWorld) partitionsTurn(t *testing.T) {
	m := startMixed(t, w.seeded, startInstance(t, w.seeded), startInstance(t, w.seeded))
	m.Await(100, 10)
	m.Begin()
	db, before := testbed.OpenMySQL(t, w.cluster.Nodes[2].URL()), w.conflicts(t)
	for range 10 {
		for _, change := range []string{
			"REORGANIZE PARTITION p_rest INTO (PARTITION trial VALUES LESS THAN (x'ff'), PARTITION p_rest VALUES LESS THAN (MAXVALUE))",
			"DROP PARTITION trial",
		} {
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE tokens "+change); err != nil {
				t.Fatal(err)
			}
			m.Await(10, 1)
		}
	}
	t.Logf("20 changes of partitions: %s; %d conflicts", m.Figures(), w.conflicts(t)-before)
	m.Check(t)
	w.checkNodes(t, m)
}

// answersFor returns how long a node goes on answering reads that do not ask the other nodes.
func (w *galeraWorld) answersFor(t *testing.T, node int) time.Duration {
	t.Helper()
	db := testbed.OpenMySQL(t, w.cluster.Nodes[node].URL())
	began := time.Now()
	testbed.Wait(t, startWithin, func() error {
		err := db.QueryRowContext(t.Context(), "SELECT sequence FROM change_counter").Scan(new(int))
		if answer, ok := errors.AsType[*mysql.MySQLError](err); ok && answer.Number == 1047 {
			return nil
		}
		return fmt.Errorf("the node answers: %w", err)
	})
	return time.Since(began)
}

// twoWriters has two servers write to two nodes. Nothing is lost, but they are in each other's way.
func (w *galeraWorld) twoWriters(t *testing.T) {
	before := w.conflicts(t)
	m := startMixed(t, w.seeded, startInstance(t, w.seeded, "database="+w.cluster.Nodes[0].URL()), startInstance(t, w.seeded, "database="+w.cluster.Nodes[1].URL()))
	m.Await(400, 100)
	t.Logf("two nodes written to: %s; %d conflicts", m.Figures(), w.conflicts(t)-before)
	m.Check(t)
	w.checkNodes(t, m)
}

// conflicts returns how many transactions any node gave up in favour of another node's.
func (w *galeraWorld) conflicts(t *testing.T) (all int) {
	t.Helper()
	for _, node := range w.cluster.Nodes {
		for _, variable := range []string{"wsrep_local_cert_failures", "wsrep_local_bf_aborts"} {
			var n int
			err := testbed.OpenMySQL(t, node.URL()).QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE '"+variable+"'").Scan(new(string), &n)
			if err != nil {
				t.Fatal(err)
			}
			all += n
		}
	}
	return all
}
