package bench

import (
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	without = "without"

	longestFigure = "longest statement"
	purgeSteps    = 4
	maintainer    = "maintainer" // the database user of which every statement is timed
)

// beside measures the rate of tokens issued, in turn without and with something that goes on beside. with starts it and returns what ends it.
func (w *rowsWorld) beside(b *testing.B, work, name string, rounds Rounds, with func() (end func())) report.Row {
	b.Helper()
	quiet, busy := &course{side: w.sides(jwtAPI)[0]}, &course{side: w.sides(jwtAPI)[0]}
	quiet.side.Name, busy.side.Name = without, name
	w.check(quiet.warmUp(b.Context(), rounds.WarmUp))
	for range rounds.Count {
		w.check(quiet.round(b.Context(), rounds.Each))
		end := with()
		err := busy.round(b.Context(), rounds.Each)
		end()
		w.check(err)
	}
	return report.Row{Work: work, Sides: []report.Side{busy.result(), quiet.result()}}
}

// purging removes all expired tokens in steps.
func (w *rowsWorld) purging(b *testing.B) (report.Row, []report.Verdict) {
	b.Helper()
	store := w.maintainer(b)
	step := 0
	var took []float64
	const during = "while expired tokens go"
	row := w.beside(b, "an ES256 JWT issued", during, Rounds{Count: purgeSteps, Each: 3 * time.Second, WarmUp: time.Second}, func() func() {
		last := w.hours[(step+1)*rowsHours/purgeSteps-1]
		step++
		if step == 1 {
			w.full.lease(time.UnixMicro(0))
		}
		done := make(chan error, 1)
		go func() {
			began := time.Now()
			// Tokens are kept for as long as clocks may differ.
			now := time.Unix(0, 0).Add(time.Duration(last)*auth.BucketLength + 2*auth.MaxSkew)
			m, err := store.Maintain(b.Context(), now, 0)
			if err == nil && (!m.Held || m.TokensRemoved == 0) {
				err = fmt.Errorf("nothing was removed: %+v", m)
			}
			took = append(took, millis(time.Since(began)))
			done <- err
		}()
		return func() { w.check(<-done) }
	})
	w.proveLive(b)
	row.Sides = append(row.Sides, report.Side{Name: "maintenance", Figures: []report.Figure{
		report.NewFigure(longestFigure, report.Millis, w.longestStatement(b)),
		report.NewFigure("a step", report.Millis, took...),
	}})
	return row, []report.Verdict{
		{
			Figure: report.Rate, Of: during, Beside: without, Floor: leastShare, Goal: leastShare,
			Summary: "an ES256 JWT issued while " + w.said() + " expired rows go",
		},
		{Figure: longestFigure, Of: "maintenance", AtMost: true, Floor: longestStatement, Summary: "longest statement that removes " + w.said() + " expired rows"},
	}
}

// maintainer returns a store that maintains as the server does, as a user of its own: MariaDB logs each of its statements.
func (w *rowsWorld) maintainer(b *testing.B) *sqlstore.Store {
	b.Helper()
	w.full.exec("CREATE USER '" + maintainer + "'@'%' IDENTIFIED BY 'm'")
	w.full.exec("GRANT ALL PRIVILEGES ON countersign.* TO '" + maintainer + "'@'%'")
	w.full.exec("SET GLOBAL long_query_time = 0") // for connections to come
	u, err := url.Parse(w.full.database)
	w.check(err)
	u.User = url.UserPassword(maintainer, "m")
	store, err := sqlstore.Open(b.Context(), sqlstore.Config{URL: u.String(), Logger: slog.New(slog.DiscardHandler)})
	w.check(err)
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// longestStatement returns the longest time that a statement of the maintainer took, in ms.
func (w *rowsWorld) longestStatement(b *testing.B) float64 {
	b.Helper()
	var drops int
	var longest float64
	w.check(w.full.db.QueryRowContext(b.Context(), "SELECT COALESCE(SUM(sql_text LIKE '%DROP PARTITION%'), 0), COALESCE(MAX(TIME_TO_SEC(query_time)), 0) * 1000 "+
		"FROM mysql.slow_log WHERE user_host LIKE '"+maintainer+"[%'").Scan(&drops, &longest))
	if drops < rowsHours {
		b.Fatalf("%d partitions were seen to be dropped, of %d", drops, rowsHours)
	}
	if longest > longestStatement {
		var text string
		var locked float64
		w.check(w.full.db.QueryRowContext(b.Context(), "SELECT sql_text, TIME_TO_SEC(lock_time) * 1000 FROM mysql.slow_log WHERE user_host LIKE '"+maintainer+"[%' "+
			"ORDER BY query_time DESC LIMIT 1").Scan(&text, &locked))
		b.Logf("%.0f ms, %.0f of them for a lock: %s", longest, locked, text)
	}
	return longest
}

// proveLive checks that of the tokens that were made the live ones are left, and no other.
func (w *rowsWorld) proveLive(b *testing.B) {
	b.Helper()
	if got := w.sum(b, "tokens", "issued < ?", w.began.Truncate(time.Second).UnixMicro()); got != w.made {
		b.Errorf("%+v are left, %+v live ones were made", got, w.made)
	}
}

func (w *rowsWorld) sum(b *testing.B, table, where string, args ...any) (got checksum) {
	b.Helper()
	w.check(w.full.db.QueryRowContext(b.Context(), "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT(jti, client))) FROM "+table+" WHERE "+where, args...).
		Scan(&got.count, &got.sum))
	return got
}

// tableBytes is what the table of tokens takes on the disk.
func (w *rowsWorld) tableBytes() (bytes int64) {
	w.Helper()
	w.check(w.full.db.QueryRowContext(w.Context(), "SELECT SUM(file_size) FROM information_schema.innodb_sys_tablespaces WHERE name LIKE 'countersign/tokens#%'").
		Scan(&bytes))
	return bytes
}
