package bench

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// rowsPool is the buffer pool of each MariaDB.
const rowsPool = "1G"

// rowsWorld is our server on a full table of tokens and on an empty one, each on a database of its own: two schemas of one MariaDB would share its memory.
type rowsWorld struct {
	*scene
	full, empty keeper
	clients     []credentials
	count       int // of live tokens, and of expired ones
	made        checksum
	kept        []string // opaque tokens that are live, in no order
	quarter     []string // those that expire in the last bucket
	hours       []uint32 // ends of the partitions with the expired tokens
	perRow      float64  // bytes on the disk
	began       time.Time
}

// keeper is a server with its database.
type keeper struct {
	*issuer
	mariadb *testbed.Server // nil where the database is SQLite's
	db      *sql.DB
	apis    map[string]auth.APIID
	started time.Duration // the server's start took so long
	idle    int64         // its memory then, in bytes
}

func newRowsWorld(b *testing.B, count int) *rowsWorld {
	b.Helper()
	w := &rowsWorld{scene: newScene(b), count: count, clients: newCredentials(crowdOfClients)}
	w.began = time.Now()
	w.empty, w.full = w.keeper(), w.keeper()
	w.fill()
	w.empty.run()
	w.full.run()
	return w
}

// run starts the server.
func (k *keeper) run() {
	k.Helper()
	began := time.Now()
	k.server = k.another("server")
	k.started = time.Since(began)
	var err error
	k.idle, err = resident(k.server.PID())
	k.check(err)
}

// pids are the processes whose time is counted.
func (k *keeper) pids() map[string]int {
	all := map[string]int{"server": k.server.PID()}
	if k.mariadb != nil {
		all["MariaDB"] = k.mariadb.PID()
	}
	return all
}

// keeper makes a database with all clients. What expired stays until somebody gives up the lease.
func (w *rowsWorld) keeper() keeper {
	w.Helper()
	mariadb := testbed.StartMariaDB(w, "--innodb-log-file-size=1G", "--innodb-buffer-pool-size="+rowsPool, "--local-infile=1", "--log-output=TABLE",
		"--slow-query-log=1", "--min-examined-row-limit=0")
	own := &scene{B: w.B, folder: w.TempDir(), binary: w.countersign()}
	k := keeper{issuer: &issuer{scene: own, database: mariadb.URL(), key: own.folder + "/master.key"}, mariadb: mariadb, db: testbed.OpenMySQL(w, mariadb.URL())}
	k.seed()
	k.populate(w.clients)
	k.lease(time.Now().Add(24 * time.Hour))
	return k
}

func (k *keeper) exec(statement string, args ...any) {
	k.Helper()
	_, err := k.db.ExecContext(k.Context(), statement, args...)
	k.check(err)
}

// lease gives that of maintenance to somebody who does nothing, until then.
func (k *keeper) lease(until time.Time) {
	k.Helper()
	k.exec("UPDATE leases SET holder = ?, expires = ? WHERE name = 'maintenance'", bytes.Repeat([]byte("x"), 16), until.UnixMicro())
}

// skewed are requests of many clients for tokens, of which few make most.
func (w *rowsWorld) skewed(k keeper, api string) (requests [][]byte) {
	const many = 20_000
	who := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 8, uint64(len(w.clients)-1)) // the same for both sides
	for range many {
		c := w.clients[who.Uint64()]
		basic := base64.StdEncoding.EncodeToString([]byte(c.id.String() + ":" + c.value.Reveal()))
		requests = append(requests, generator.Post("/oauth2/token", k.server.address, "Basic "+basic, asking(api).Encode()))
	}
	return requests
}

// asked is a request about a token.
func (w *rowsWorld) asked(token string) []byte {
	return w.full.post(w.full.server, "/oauth2/introspect", url.Values{"token": {token}})
}

func (w *rowsWorld) said() string { return report.Number(float64(w.count)) }

func (w *rowsWorld) versions() map[string]string {
	w.Helper()
	var mariadb string
	w.check(w.full.db.QueryRowContext(w.Context(), "SELECT VERSION()").Scan(&mariadb))
	return map[string]string{"MariaDB": strings.TrimSuffix(mariadb, "-log")} // that it keeps a log is our doing
}
