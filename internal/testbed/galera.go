//go:build long

package testbed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// galeraUser is the account that the Debian package makes. A node does not take over another's data as root.
const galeraUser = "mysql"

// Cluster is a Galera cluster of three nodes that belongs to one test. Each node is a Server of its own: one that was killed joins the
// others again when it is started. The first is not to be started while no other runs.
type Cluster struct {
	Nodes []*Server

	tb    testing.TB
	admin *mariadb
}

// galeraNode is what a node has besides the port for clients.
type galeraNode struct {
	name              string
	group, ist, state int // ports
	founded           bool
}

// StartGalera starts a cluster with the settings that docs/production-trials.md recommends, one node after the other, which takes some
// 20 seconds. args are further options of each mariadbd; of two equal ones the last counts. The URLs are those of [StartMariaDB].
func StartGalera(tb testing.TB, args ...string) *Cluster {
	tb.Helper()
	m, err := mariadbTemplate()
	if err != nil {
		tb.Fatal(err)
	}
	nodes := galeraNodes(tb, 3)
	c := &Cluster{tb: tb, admin: m}
	for _, n := range nodes {
		e := m.engine()
		plain, probe := e.args, e.probe
		e.args = func(dir string, port int) []string {
			return slices.Concat(plain(dir, port), n.options(nodes), args)
		}
		e.probe = func(ctx context.Context, addr, dir string, pid int) error {
			if err := probe(ctx, addr, dir, pid); err != nil {
				return err
			}
			n.founded = true
			return c.inState(ctx, addr, "Synced")
		}
		dir, err := m.newFolder()
		if err != nil {
			tb.Fatal(err)
		}
		if e.user, err = giveAway(dir); err != nil {
			tb.Fatal(err)
		}
		c.Nodes = append(c.Nodes, startServer(tb, e, dir, func(addr string) string { return m.url(addr, "countersign") }))
	}
	return c
}

func galeraNodes(tb testing.TB, n int) (nodes []*galeraNode) {
	tb.Helper()
	for i := range n {
		node := &galeraNode{name: fmt.Sprintf("node-%d", i+1), founded: i > 0}
		for _, port := range []*int{&node.group, &node.ist, &node.state} {
			*port = FreePort(tb)
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// options are the ones that make a mariadbd a node. A node gets the data from the last one that can give it, since the first is the
// one that tests write to: rsync stops writes on the node that gives.
func (n *galeraNode) options(all []*galeraNode) []string {
	var peers, donors []string
	for _, other := range all {
		peers = append(peers, loopback(other.group))
		if other != n {
			donors = append([]string{other.name}, donors...)
		}
	}
	options := []string{
		"--wsrep-on=ON", "--wsrep-provider=" + galeraLibrary(), "--wsrep-cluster-name=testbed",
		"--wsrep-cluster-address=gcomm://" + strings.Join(peers, ","),
		"--wsrep-node-name=" + n.name, "--wsrep-node-address=127.0.0.1",
		"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + loopback(n.state),
		"--wsrep-sst-donor=" + strings.Join(donors, ",") + ",",
		fmt.Sprintf("--wsrep-provider-options=gmcast.listen_addr=tcp://%s;ist.recv_addr=%s;gcache.size=32M", loopback(n.group), loopback(n.ist)),
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
	}
	if !n.founded {
		options = append(options, "--wsrep-new-cluster")
	}
	return options
}

// galeraLibrary is where Debian and Red Hat have it.
func galeraLibrary() string {
	const debian, other = "/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so"
	if _, err := os.Stat(other); err == nil {
		return other
	}
	return debian
}

// giveAway gives the folder to the account that nodes run as, and lets that account reach it. It does nothing but for root.
func giveAway(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else: the tests' own user
	}
	account, err := user.Lookup(galeraUser)
	if err != nil {
		return nil, fmt.Errorf("find the account for Galera: %w", err)
	}
	uid, err1 := strconv.ParseUint(account.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("read the account for Galera: %w", err)
	}
	owner := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	root, err := os.OpenRoot(dir)
	if err == nil {
		err = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, root.Lchown(path, int(owner.Uid), int(owner.Gid)))
		})
		err = errors.Join(err, root.Close())
	}
	if err == nil {
		err = os.Chmod(filepath.Dir(dir), 0o711) //nolint:gosec // to be passed through, not to be looked into
	}
	if err != nil {
		return nil, fmt.Errorf("give a data folder away: %w", err)
	}
	return owner, nil
}

// inState returns nil if the node at addr says that it is in the state: "Synced", "Donor/Desynced", "Initialized" of one without quorum.
func (c *Cluster) inState(ctx context.Context, addr, want string) error {
	db, err := openURL(c.admin.url(addr, ""))
	if err != nil {
		return err
	}
	defer db.Close()
	switch state, err := nodeStatus(ctx, db, "wsrep_local_state_comment"); {
	case err != nil:
		return err
	case state != want:
		return fmt.Errorf("the node is %s, not %s", state, want)
	}
	return nil
}

func nodeStatus(ctx context.Context, db *sql.DB, variable string) (value string, err error) {
	if err = db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE '"+variable+"'").Scan(new(string), &value); err != nil {
		return "", fmt.Errorf("read %s: %w", variable, err)
	}
	return value, nil
}

// State returns what a node says of itself: "Synced" if it takes part, "Initialized" if it is without quorum.
func (c *Cluster) State(ctx context.Context, node int) (string, error) {
	db, err := openURL(c.admin.url(c.Nodes[node].Addr(), ""))
	if err != nil {
		return "", err
	}
	defer db.Close()
	return nodeStatus(ctx, db, "wsrep_local_state_comment")
}

// Isolate cuts a node's connections to the others, and lets it make none until Rejoin. Clients still reach it.
func (c *Cluster) Isolate(node int) { c.isolate(node, 1) }

// Rejoin ends Isolate, and returns when the node takes part again.
func (c *Cluster) Rejoin(node int) {
	c.tb.Helper()
	c.isolate(node, 0)
	Wait(c.tb, startPatience, func() error { return c.inState(c.tb.Context(), c.Nodes[node].Addr(), "Synced") })
}

func (c *Cluster) isolate(node, on int) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db := OpenMySQL(c.tb, c.admin.url(c.Nodes[node].Addr(), ""))
	if _, err := db.ExecContext(ctx, fmt.Sprintf("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=%d'", on)); err != nil {
		c.tb.Fatalf("isolate a node: %v", err)
	}
}

// New makes an empty schema and returns its address on each node, in their order, as [Database.New] does.
func (c *Cluster) New(tb testing.TB) (urls []string) {
	tb.Helper()
	first := (&Database{url: c.admin.url(c.Nodes[0].Addr(), "")}).New(tb)
	for _, n := range c.Nodes {
		u, err := url.Parse(first)
		if err != nil {
			tb.Fatal(err)
		}
		u.Host = n.Addr()
		urls = append(urls, u.String())
	}
	return urls
}
