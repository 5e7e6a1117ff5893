package bench

import (
	"fmt"
	"testing"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
)

const defaultSQLiteRows = 1_000_000

// BenchmarkSQLite is the authorization server on an SQLite file with a million live and a million expired tokens, beside the same on an empty one. Its
// rows are those of results/sqlite.md.
func BenchmarkSQLite(b *testing.B) {
	w := newSQLiteWorld(b, rowsOr(b, defaultSQLiteRows))
	rows, all := measured(b, []rowsWork{
		{"token-opaque", func(b *testing.B) (report.Row, []report.Verdict) {
			return w.issuing(b, opaqueAPI, "an opaque token issued on SQLite")
		}},
		{"introspect", w.introspecting},
		{"size", w.size},
		{"purge", w.purging}, // the last: it runs the server anew
	})
	if !all {
		return // some were not asked for, or could not be measured; that a floor is missed is told
	}
	w.publish(&report.Report{
		Name: "sqlite", Title: "A million tokens in SQLite", Versions: w.versions(), Rows: rows,
		Setting: fmt.Sprintf("%s live tokens, and as many that have expired, in the file of `countersign server` on SQLite, with `synchronous=FULL`; %s clients, of which a few ask for most of the tokens. "+
			"The tokens live for twelve hours, so that they expire within the next twelve, and the others did within the last. "+
			"Beside it a second server, whose file has the same clients and no tokens. %d connections; everything shares the processors.",
			report.Number(float64(w.count)), report.Number(sqliteClients), generator.Connections),
		Notes: []string{
			"SQLite has no partitions: what expired is deleted, 500 rows at a time, with four times as long between as a step took. The server itself does it while the rate is measured; between the rounds it is " +
				"run anew, with or without the lease that lets it. Rows removed are those of a round and its warm-up, a second. What is left of the expired tokens at the end stays.",
			"There is one writer at a time, so the longest that a step may keep others waiting is part of how long their commits take: these are of single tokens, one after the other, by the same store as deletes " +
				"the tokens of an hour meanwhile. No server runs then. Afterwards number and checksum of the live tokens are what they were when they were made.",
		},
	})
}
