package bench

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
)

const (
	// rowsVariable says how many live tokens there are, and as many that have expired.
	rowsVariable = "BENCH_ROWS"
	defaultRows  = 10_000_000

	emptyTable = "empty table"
	fullTable  = "full table"

	// leastShare is what the rate may fall to by rows that are there, or are removed.
	leastShare = 0.9
	// longestStatement is how long one of maintenance may take, in ms.
	longestStatement = 100
)

// BenchmarkRows is the authorization server on a database with millions of tokens, beside the same on an empty one. Its rows are those of
// results/rows.md.
func BenchmarkRows(b *testing.B) {
	count := rowsOr(b, defaultRows)
	w := newRowsWorld(b, count)
	rows, all := measured(b, []rowsWork{
		{"token-jwt", func(b *testing.B) (report.Row, []report.Verdict) {
			return w.issuing(b, jwtAPI, "an ES256 JWT issued")
		}},
		{"token-opaque", func(b *testing.B) (report.Row, []report.Verdict) {
			return w.issuing(b, opaqueAPI, "an opaque token issued")
		}},
		{"introspect", w.introspecting},
		{"dump", w.dumping},
		{"purge", w.purging},
		{"size", w.size},
	})
	if !all {
		return // some were not asked for, or could not be measured; that a floor is missed is told
	}
	w.publish(&report.Report{
		Name: "rows", Title: "Millions of tokens", Versions: w.versions(), Rows: rows,
		Setting: fmt.Sprintf("%s live tokens, and as many that have expired, on MariaDB; %s clients, of which a few ask for most of the tokens. "+
			"The tokens live for twelve hours, so that they expire within the next twelve, and the others did within the last. "+
			"Beside it a second MariaDB, with the same settings and clients and no tokens. %d connections; everything shares the processors. "+
			"The buffer pool is %s, so that most of the rows are on the disk alone.",
			report.Number(float64(count)), report.Number(crowdOfClients), generator.Connections, rowsPool),
		Notes: []string{
			"The expired tokens are removed in four steps of three hours each, between which the rate is measured without. Every partition that is dropped is one statement. Of the three seconds in which the rate is measured, a step takes what the table says. " +
				"Afterwards number and checksum of the live ones are what they were when they were made.",
			"The dump is `mariadb-dump --single-transaction` of the whole schema, over and over while the rate is measured. A quarter of an hour of the tokens, and all else, is restored to another schema, " +
				"and a server on that introspects them.",
		},
	})
}

// rowsOr is how many rows are asked for, or a number.
func rowsOr(b *testing.B, count int) int {
	b.Helper()
	text := os.Getenv(rowsVariable)
	if text == "" {
		return count
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10_000 {
		b.Fatalf("%s is %q, not a number from 10000 on", rowsVariable, text)
	}
	return n
}

// rowsWork measures a row, and says what it is judged by.
type rowsWork struct {
	name string
	work func(*testing.B) (report.Row, []report.Verdict)
}

// measured returns the rows, and whether none is missing.
func measured(b *testing.B, works []rowsWork) (rows []report.Row, all bool) {
	b.Helper()
	for _, m := range works {
		b.Run(m.name, func(b *testing.B) {
			row, verdicts := m.work(b)
			for _, v := range verdicts {
				if err := row.Judge(v); err != nil {
					b.Error(err)
				}
			}
			rows = append(rows, row)
			tell(b, row)
		})
	}
	return rows, len(rows) == len(works)
}

func rowsRounds() Rounds { return Rounds{Count: 7, Each: 2 * time.Second, WarmUp: 3 * time.Second} }

// issuing asks both for tokens, as clients of which few are busy.
func (w *rowsWorld) issuing(b *testing.B, api, what string) (report.Row, []report.Verdict) {
	b.Helper()
	row, err := compare(b.Context(), what, rowsRounds(), w.sides(api)...)
	if err != nil {
		b.Fatal(err)
	}
	return row, []report.Verdict{{
		Figure: report.Rate, Of: fullTable, Beside: emptyTable, Floor: leastShare, Goal: leastShare, Summary: what + ", " + w.said() + " live rows",
	}}
}

func (w *rowsWorld) sides(api string) []Side {
	side := func(name string, k keeper) Side {
		load := generator.Load{
			Address: k.server.address, Connections: generator.Connections, Requests: w.skewed(k, api), Body: issued(api == jwtAPI),
		}
		return Side{name, load, k.pids()}
	}
	return []Side{side(fullTable, w.full), side(emptyTable, w.empty)}
}

// introspecting asks about tokens that the server has never seen, each once: their rows are all over the table.
func (w *rowsWorld) introspecting(b *testing.B) (report.Row, []report.Verdict) {
	b.Helper()
	load := generator.Load{
		Address: w.full.server.address, Connections: generator.Connections, Body: active,
		Once: &generator.Once{PerRun: len(w.kept) / (rowsRounds().Count + 1)},
	}
	for _, token := range w.kept {
		load.Requests = append(load.Requests, w.asked(token))
	}
	side := Side{fullTable, load, w.full.pids()}
	row, err := compare(b.Context(), "introspection at first sight, the row in the database", rowsRounds(), side)
	if err != nil {
		b.Fatal(err)
	}
	if by := w.lookups(w.full.server); by["database"] < row.Sides[0].Requests {
		b.Fatalf("%d answers, look-ups were settled by %v", row.Sides[0].Requests, by)
	}
	return row, nil
}

// size is what all of it takes.
func (w *rowsWorld) size(b *testing.B) (report.Row, []report.Verdict) {
	b.Helper()
	bytes, err := resident(w.full.server.PID())
	w.check(err)
	side := report.Side{Name: fullTable, Figures: []report.Figure{
		report.NewFigure("a row on the disk", "bytes", w.perRow), report.NewFigure("server at first", "MiB", float64(w.full.idle)/(1<<20)),
		report.NewFigure("and at the end", "MiB", float64(bytes)/(1<<20)),
		report.NewFigure("its start", report.Millis, millis(w.full.started)),
	}}
	return report.Row{Work: fmt.Sprintf("%s rows, %s clients", report.Number(2*float64(w.count)), report.Number(float64(len(w.clients)))), Sides: []report.Side{side}}, nil
}
