package bench

import (
	"net/url"
	"runtime/debug"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

// seen is how many tokens the introspections are about.
const seen = 1000

// BenchmarkServer is the authorization server beside the bare limit. Its rows are those of the document results/server.md.
func BenchmarkServer(b *testing.B) {
	w := newWorld(b)
	var rows []report.Row
	rounds := Rounds{Count: 5, Each: 3 * time.Second, WarmUp: time.Second}
	works := append(w.works(), w.firstSight(rounds.Count+1))
	for _, work := range works {
		b.Run(work.name, func(b *testing.B) {
			before := w.rows(b)
			row, err := compare(b.Context(), work.what, rounds, work.sides()...)
			if err != nil {
				b.Fatal(err)
			}
			if work.committed {
				w.committed(b, before, row)
			}
			if work.after != nil {
				work.after(b, row)
			}
			if err := row.Judge(work.verdict); err != nil {
				b.Error(err)
			}
			rows = append(rows, row)
			tell(b, row)
		})
	}
	if len(rows) < len(works) {
		return // some were not asked for, or could not be measured; that a floor is missed is told
	}
	w.publish(&report.Report{
		Name: "server", Title: "Authorization server", Versions: w.versions(), Rows: rows,
		Setting: "32 connections with keep-alive, on loopback; server, database and load share the processors. MariaDB with " +
			"`innodb_flush_log_at_trx_commit=1`. The server runs with its default settings: it logs every request, keeps metrics, " +
			"and reads the change log every 250 ms.",
	})
}

// work is what a row is about.
type work struct {
	name, what string
	verdict    report.Verdict // beside the limit
	p99        float64        // what the 99th percentile may be at half of the maximum rate, in ms; 0: it is not looked at
	sides      func() []Side
	committed  bool                         // each answer is a row in the database
	after      func(*testing.B, report.Row) // looks whether the work was done as it should be; nil: nothing to look at
}

// works are the rows of the server that can be asked any number of times.
func (w *world) works() []work {
	return []work{
		{
			name: "token-jwt", what: "ES256 JWT, row committed in MariaDB", verdict: share(0.6, 0.85, "ES256 JWT, row committed in MariaDB"),
			p99: 10, committed: true, sides: func() []Side { return w.issuing(jwtAPI, "/jwt", true) },
		},
		{
			name: "token-opaque", what: "opaque token, row committed in MariaDB", verdict: share(0.5, 0.8, "opaque token, row committed in MariaDB"),
			p99: 10, committed: true, sides: func() []Side { return w.issuing(opaqueAPI, "/opaque", false) },
		},
		{
			name: "introspect-opaque", what: "introspection from memory, opaque token", verdict: share(0.5, 0.8, "introspection of an opaque token seen before"),
			p99: 2, sides: func() []Side { return w.introspecting(opaqueAPI, "/opaque") },
		},
		{
			name: "introspect-jwt", what: "introspection from memory, JWT seen before", verdict: share(0.5, 0.8, "introspection of a JWT seen before"),
			p99: 2, sides: func() []Side { return w.introspecting(jwtAPI, "/jwt") },
		},
	}
}

// firstSight is the row of tokens that are seen once. They suffice for so many runs.
func (w *world) firstSight(runs int) work {
	var s *shared
	return work{
		name: "introspect-redis", what: "introspection at first sight on an instance, opaque token in Redis",
		verdict: share(0.5, 0.8, "introspection at first sight on an instance, token in Redis"),
		sides: func() []Side {
			s = w.startShared()
			return s.sides(runs)
		},
		after: func(b *testing.B, row report.Row) { s.settled(b, row) },
	}
}

// share is the rate beside the limit's.
func share(floor, goal float64, summary string) report.Verdict {
	return report.Verdict{Figure: report.Rate, Of: countersign, Beside: limit, Floor: floor, Goal: goal, Summary: summary}
}

// asking is the form that asks for a token of an API.
func asking(api string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "resource": {api}}
}

// issuing returns sides that are asked for tokens.
func (w *world) issuing(api, path string, jwt bool) []Side {
	load := func(p program, path string) generator.Load {
		return generator.Load{
			Address: p.address, Connections: generator.Connections, Requests: [][]byte{w.post(p, path, asking(api))}, Body: issued(jwt),
		}
	}
	return []Side{
		{countersign, load(w.server, "/oauth2/token"), map[string]int{"server": w.server.PID(), "MariaDB": w.mariadb.PID()}},
		{limit, load(w.limit, path), map[string]int{"server": w.limit.PID(), "MariaDB": w.mariadb.PID()}},
	}
}

// introspecting returns sides that introspect tokens which were issued, and introspected, before.
func (w *world) introspecting(api, path string) []Side {
	load := func(p program, issue, introspect string) generator.Load {
		l := generator.Load{Address: p.address, Connections: generator.Connections, Body: active}
		for _, token := range w.tokens(p, issue, asking(api), seen) {
			l.Requests = append(l.Requests, w.post(p, introspect, url.Values{"token": {token}}))
		}
		return l
	}
	return []Side{
		{countersign, load(w.server, "/oauth2/token", "/oauth2/introspect"), map[string]int{"server": w.server.PID()}},
		{limit, load(w.limit, path, "/introspect"), map[string]int{"server": w.limit.PID()}},
	}
}

// committed checks that there are as many new rows in the database as there were answers.
func (w *world) committed(b *testing.B, before map[string]int, row report.Row) {
	b.Helper()
	after := w.rows(b)
	for table, side := range map[string]string{"countersign.tokens": countersign, "bare.limit_tokens": limit} {
		if got, answered := after[table]-before[table], row.Side(side).Requests; got < answered {
			b.Fatalf("%s has %d rows for %d answers", table, got, answered)
		}
	}
}

// rows counts the tokens that are in the database.
func (w *world) rows(b *testing.B) map[string]int {
	b.Helper()
	db := testbed.OpenMySQL(b, w.mariadb.URL())
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
	db := testbed.OpenMySQL(w, w.mariadb.URL())
	w.check(db.QueryRowContext(w.Context(), "SELECT VERSION()").Scan(&mariadb))
	versions := map[string]string{"MariaDB": mariadb}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/go-sql-driver/mysql" {
				versions[m.Path] = m.Version
			}
		}
	}
	return versions
}
