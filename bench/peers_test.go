package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

// introspected is how many tokens a peer is asked about. It is as few as this because oidc-provider's store in memory forgets all but the last
// thousand, and Hydra takes seconds to issue so many JWTs.
const introspected = 200

const opaqueIssued = "an opaque token issued"

// The peers' rows: three rounds suffice for ratios of this size.
func peerRounds() Rounds { return Rounds{Count: 3, Each: 3 * time.Second, WarmUp: 2 * time.Second} }

// BenchmarkPeers is the authorization server beside those of others, each with its own defaults. Its rows are those of results/peers.md.
func BenchmarkPeers(b *testing.B) {
	w := newPeersWorld(b)
	footprints := w.idle()
	var rows []report.Row
	works := w.works()
	complete := true
	for _, work := range works {
		complete = b.Run(work.name, func(b *testing.B) {
			before := w.rows(b, work.by)
			row, err := compare(b.Context(), work.what, peerRounds(), work.sides()...)
			if err != nil {
				b.Fatal(err)
			}
			if work.issues {
				w.committed(b, before, row, work.by)
			}
			work.annotate(&row)
			for _, v := range beside(row, work.floors) {
				if err := row.Judge(v); err != nil {
					b.Error(err)
				}
			}
			rows = append(rows, row)
			tell(b, row)
		}) && complete
	}
	complete = b.Run("bcrypt", func(b *testing.B) {
		row := w.hashed(b)
		rows = append(rows, row)
		tell(b, row)
	}) && complete
	if !complete || len(rows) < len(works)+1 {
		return // some were not asked for, or failed
	}
	memory := footprints()
	tell(b, memory)
	w.publish(&report.Report{
		Name: "peers", Title: "Other authorization servers", Versions: w.versions, Rows: append(rows, memory), Notes: peerNotes(),
		Setting: fmt.Sprintf("%d connections with keep-alive, on loopback; server, database and load share the processors. MariaDB with "+
			"`innodb_flush_log_at_trx_commit=1` is one for Countersign, Hydra and glewlwyd, with a schema for each. Every server runs with its defaults.", generator.Connections),
	})
}

// peerWork is what a row is about.
type peerWork struct {
	name, what string
	issues     bool        // or it introspects
	by         []authority // ours first
	sides      func() []Side
	floors     map[string]float64 // how many times the rate of a peer ours must be
}

func (w *peersWorld) works() []peerWork {
	issuing := func(by []authority) func() []Side {
		return func() (sides []Side) {
			for _, a := range by {
				sides = append(sides, a.issuing())
			}
			return sides
		}
	}
	introspecting := func(by []authority) func() []Side {
		return func() (sides []Side) {
			for _, a := range by {
				sides = append(sides, a.introspecting(w.scene, introspected))
			}
			return sides
		}
	}
	all := func(authority) bool { return true }
	// How secrets are hashed takes no part in Hydra's introspection.
	knowing := func(a authority) bool { return a.introspect != "" && a.name != hydraOnce }
	return []peerWork{
		{"token-jwt", "a JWT issued", true, w.of(true, all), issuing(w.of(true, all)), map[string]float64{hydra: 40}},
		{"token-opaque", opaqueIssued, true, w.of(false, all), issuing(w.of(false, all)), map[string]float64{hydra: 30}},
		{"introspect-jwt", "introspection of a JWT", false, w.of(true, knowing), introspecting(w.of(true, knowing)), map[string]float64{hydra: 15}},
		{
			"introspect-opaque", "introspection of an opaque token", false, w.of(false, knowing), introspecting(w.of(false, knowing)),
			map[string]float64{hydra: 15},
		},
	}
}

// annotate says what each side leaves out.
func (work peerWork) annotate(row *report.Row) {
	for n, a := range work.by {
		if row.Sides[n].Lacks = a.knows; work.issues {
			row.Sides[n].Lacks = a.lacks
		}
	}
}

// rows counts the tokens that are in MariaDB, by table.
func (w *peersWorld) rows(b *testing.B, of []authority) map[string]int {
	b.Helper()
	db := testbed.OpenMySQL(b, w.mariadb.URL())
	counts := map[string]int{}
	for _, a := range of {
		if _, counted := counts[a.rows]; counted || a.rows == "" {
			continue
		}
		var n int
		if err := db.QueryRowContext(b.Context(), "SELECT COUNT(*) FROM "+a.rows).Scan(&n); err != nil {
			b.Fatal(err)
		}
		counts[a.rows] = n
	}
	return counts
}

// committed checks that there are as many new rows in MariaDB as there were answers.
func (w *peersWorld) committed(b *testing.B, before map[string]int, row report.Row, by []authority) {
	b.Helper()
	answered := map[string]int{}
	for n, a := range by {
		answered[a.rows] += row.Sides[n].Requests
	}
	for table, after := range w.rows(b, by) {
		if got := after - before[table]; got < answered[table] {
			b.Errorf("%s has %d rows for %d answers", table, got, answered[table])
		}
	}
}

// beside returns a verdict on ours beside each peer, and on ours with SQLite beside each that keeps nothing either way.
func beside(row report.Row, floors map[string]float64) (verdicts []report.Verdict) {
	for _, of := range []string{countersign, onSQLite} {
		for _, side := range row.Sides {
			if side.Name == countersign || side.Name == onSQLite {
				continue
			}
			v := report.Verdict{Figure: report.Rate, Of: of, Beside: side.Name}
			if floor := floors[side.Name]; of == countersign && floor > 0 {
				v.Floor, v.Summary = floor, row.Work
			}
			verdicts = append(verdicts, v)
		}
	}
	return verdicts
}

// hashed is fosite with the hash that it has by default. It is so slow that nothing is gained by taking turns, or by more than a few callers.
func (w *peersWorld) hashed(b *testing.B) report.Row {
	b.Helper()
	side := w.bcrypt.issuing()
	side.Load.Connections = 4
	row, err := compare(b.Context(), opaqueIssued, Rounds{Count: 1, Each: 5 * time.Second, WarmUp: 2 * time.Second}, side)
	if err != nil {
		b.Fatal(err)
	}
	row.At, row.AtUnit = float64(side.Load.Connections), "connections"
	peerWork{issues: true, by: []authority{w.bcrypt}}.annotate(&row)
	return row
}

// idle measures every process, and returns what makes a row of that and of its peak.
func (w *peersWorld) idle() func() report.Row {
	w.Helper()
	var kept []authority
	var before []int64
	measured := map[int]bool{}
	for _, a := range append(w.all, w.bcrypt) {
		if measured[a.PID()] {
			continue
		}
		measured[a.PID()] = true
		bytes, err := resident(a.PID())
		w.check(err)
		kept, before = append(kept, a), append(before, bytes)
	}
	return func() report.Row {
		row := report.Row{Work: "memory"}
		for n, a := range kept {
			side, err := a.footprint(before[n])
			w.check(err)
			if !w.issuesBoth(a) {
				side.Name += map[bool]string{true: ", JWT", false: ", opaque"}[a.jwt]
			}
			row.Sides = append(row.Sides, side)
		}
		return row
	}
}

// issuesBoth tells whether a server's process issues tokens of either kind.
func (w *peersWorld) issuesBoth(a authority) bool {
	return slices.ContainsFunc(w.all, func(other authority) bool { return other.PID() == a.PID() && other.jwt != a.jwt })
}

// peerNotes are the limits of the comparison.
func peerNotes() []string {
	return []string{
		"\"Without\" says what a peer leaves out that Countersign does for each of those answers. What keeps tokens in memory keeps them until the end, " +
			"which its peak is made of, and knows none after a restart.",
		"Secrets: Countersign draws them at random and keeps their HMAC-SHA-256, as it may with what cannot be guessed; fosite keeps what it is told to, here SHA-256 " +
			"(bcrypt is its default); Hydra hashes the ones that it drew by 25,000 rounds of PBKDF2.",
		"Hydra's JWTs are signed by RS256 with 4,096 bits, which is its default, all others' by ES256. Its introspection answers whoever reaches the admin port.",
		"Hydra and glewlwyd are servers for people in the first place and do much that is not asked for here.",
	}
}
