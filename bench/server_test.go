package bench

import (
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// seen is how many tokens the introspections are about.
const seen = 1000

// BenchmarkServer is the authorization server beside the bare limit. Its rows are those of the document results/server.md.
func BenchmarkServer(b *testing.B) {
	w := newWorld(b)
	report := &Report{
		Name: "server", Title: "Authorization server", Time: time.Now().UTC(), Machine: thisMachine(), Versions: w.versions(),
		Setting: "32 connections with keep-alive, on loopback; server, database and load share the processors. MariaDB with " +
			"`innodb_flush_log_at_trx_commit=1`. The server runs with its default settings: it logs every request, keeps metrics, " +
			"and reads the change log every 250 ms.",
	}
	rounds := Rounds{Count: 5, Each: 3 * time.Second, WarmUp: time.Second}
	rows := []struct {
		name, work string
		floor      float64
		sides      func() (ours, limit Load)
		database   bool
	}{
		{"token-jwt", "ES256 JWT, row committed in MariaDB", 0.33, func() (ours, limit Load) { return w.issuing(jwtAPI, "/jwt", true) }, true},
		{"token-opaque", "opaque token, row committed in MariaDB", 0.33, func() (ours, limit Load) { return w.issuing(opaqueAPI, "/opaque", false) }, true},
		{"introspect-opaque", "introspection from memory, opaque token", 0.33, func() (ours, limit Load) { return w.introspecting(opaqueAPI, "/opaque") }, false},
		{"introspect-jwt", "introspection from memory, JWT seen before", 0.33, func() (ours, limit Load) { return w.introspecting(jwtAPI, "/jwt") }, false},
	}
	for _, tt := range rows {
		b.Run(tt.name, func(b *testing.B) {
			before := w.rows(b)
			mine, bare := tt.sides()
			row, err := compare(b.Context(), tt.work, rounds,
				Side{"countersign", mine, w.pids("server", w.server.PID(), tt.database)},
				Side{"limit", bare, w.pids("server", w.limit.PID(), tt.database)})
			if err != nil {
				b.Fatal(err)
			}
			row.Floor = tt.floor
			report.Rows = append(report.Rows, row)
			if tt.database {
				after := w.rows(b)
				for name, answered := range map[string]int{"countersign.tokens": row.Ours.Requests, "bare.limit_tokens": row.Limit.Requests} {
					if got := after[name] - before[name]; got < answered {
						b.Errorf("%s has %d rows for %d answers", name, got, answered)
					}
				}
			}
			b.ReportMetric(0, "ns/op") // one operation is the whole comparison
			b.ReportMetric(row.Ours.Rate, "requests/s")
			b.ReportMetric(row.Limit.Rate, "limit/s")
			b.ReportMetric(row.Share*100, "%-of-limit")
			if row.Share < row.Floor {
				b.Errorf("%.0f%% of the limit, of which %.0f%% is the floor", row.Share*100, row.Floor*100)
			}
		})
	}
	if len(report.Rows) < len(rows) {
		return // some were not asked for, or failed
	}
	if err := report.write("results"); err != nil {
		b.Fatal(err)
	}
}

// issuing returns loads that ask for tokens.
func (w *world) issuing(api, path string, jwt bool) (ours, limit Load) {
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {api}}
	load := func(p program, path string) Load {
		return Load{Address: p.address, Connections: Connections, Requests: [][]byte{w.post(p, path, form)}, Body: issued(jwt)}
	}
	return load(w.server, "/oauth2/token"), load(w.limit, path)
}

// introspecting returns loads that introspect tokens which were issued, and introspected, before.
func (w *world) introspecting(api, path string) (ours, limit Load) {
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {api}}
	load := func(p program, issue, introspect string) Load {
		tokens := w.tokens(p, w.post(p, issue, form), seen)
		l := Load{Address: p.address, Connections: Connections, Body: active}
		for _, token := range tokens {
			l.Requests = append(l.Requests, w.post(p, introspect, url.Values{"token": {token}}))
		}
		return l
	}
	return load(w.server, "/oauth2/token", "/oauth2/introspect"), load(w.limit, path, "/introspect")
}

func (w *world) pids(name string, pid int, database bool) map[string]int {
	pids := map[string]int{name: pid, "load": os.Getpid()}
	if database {
		pids["MariaDB"] = w.database.PID()
	}
	return pids
}

// rows counts the tokens that are in the database.
func (w *world) rows(b *testing.B) map[string]int {
	b.Helper()
	db := testbed.OpenMySQL(b, w.database.URL())
	counts := map[string]int{}
	for _, table := range []string{"countersign.tokens", "bare.limit_tokens"} {
		var n int
		if err := db.QueryRowContext(b.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
			b.Fatal(err)
		}
		counts[table] = n
	}
	return counts
}

func (w *world) versions() map[string]string {
	w.Helper()
	var mariadb string
	db := testbed.OpenMySQL(w, w.database.URL())
	w.check(db.QueryRowContext(w.Context(), "SELECT VERSION()").Scan(&mariadb))
	versions := map[string]string{"Countersign": revision(w.Context()), "Go": runtime.Version(), "MariaDB": mariadb}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/go-sql-driver/mysql" {
				versions[m.Path] = m.Version
			}
		}
	}
	return versions
}
