package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	sqlitePurgeRounds = 3 // of which each removes some hundred thousand rows
	longestCommit     = "longest commit"

	// leastBeside is what the removal leaves of the rate, by design four fifths of the one writer: it pauses for four times what each step took.
	leastBeside = 0.7
)

// purging measures what the removal of expired tokens does to others who write.
func (w *sqliteWorld) purging(b *testing.B) (report.Row, []report.Verdict) {
	b.Helper()
	w.full.stop()
	const during, alone, beside = "while expired tokens go", "commits alone", "commits beside the removal"
	row := report.Row{Work: "an opaque token issued on SQLite"}
	commits := w.committing(b, alone, beside)
	row.Sides = append(w.serving(b, during), commits...)
	w.proveLive(b)
	return row, []report.Verdict{
		{
			Figure: report.Rate, Of: during, Beside: without, Floor: leastBeside, Goal: 0.8,
			Summary: "an opaque token issued on SQLite while " + w.said() + " expired rows go",
		},
		{Figure: longestCommit, Of: beside, AtMost: true, Floor: longestStatement, Summary: "longest commit on SQLite while expired rows go"},
	}
}

// serving measures the rate of tokens issued, in turn by a server that removes expired tokens and by one that may not.
func (w *sqliteWorld) serving(b *testing.B, during string) []report.Side {
	b.Helper()
	quiet, busy := new(course), new(course)
	var removed []float64
	for range sqlitePurgeRounds {
		for _, c := range []*course{quiet, busy} {
			before, until, name := w.expired(), time.Now().Add(24*time.Hour), without
			if c == busy {
				until, name = time.UnixMicro(0), during
			}
			w.full.lease(until)
			w.full.run()
			c.side = w.sides(opaqueAPI)[0]
			c.side.Name = name
			w.check(c.warmUp(b.Context(), time.Second))
			w.check(c.round(b.Context(), 3*time.Second))
			w.full.stop()
			if c == busy {
				removed = append(removed, float64(before-w.expired()))
			}
		}
	}
	if removed[0] <= 0 {
		b.Fatal("the server removed nothing")
	}
	side := busy.result()
	side.Figures = append(side.Figures, report.NewFigure("rows removed", "", removed...))
	return []report.Side{side, quiet.result()}
}

// committing measures how long commits of single tokens take, alone and while the same store removes those that expired in the first hour.
func (w *sqliteWorld) committing(b *testing.B, alone, beside string) []report.Side {
	b.Helper()
	store := w.full.store()
	defer store.Close()
	quiet := w.commits(b, store, time.After(2*time.Second))
	w.full.lease(time.UnixMicro(0))
	first := w.hours[0]
	// Tokens are kept for as long as clocks may differ.
	now := time.Unix(0, 0).Add(time.Duration(first)*auth.BucketLength + 2*auth.MaxSkew)
	ended, failed := make(chan time.Time), make(chan error, 1)
	var removed int64
	began := time.Now()
	go func() {
		defer close(ended)
		m, err := store.Maintain(b.Context(), now, 0)
		if removed = m.TokensRemoved; err == nil && (!m.Held || removed == 0) {
			err = fmt.Errorf("nothing was removed: %+v", m)
		}
		failed <- err
	}()
	busy := w.commits(b, store, ended)
	took := time.Since(began)
	w.check(<-failed)
	side := commitSide(beside, busy)
	side.Figures = append(side.Figures, report.NewFigure("rows removed", "", float64(removed)), report.NewFigure("removed in", "s", took.Seconds()))
	return []report.Side{side, commitSide(alone, quiet)}
}

// commits commits tokens one after the other until done, and returns how long each took, in ms.
func (w *sqliteWorld) commits(b *testing.B, store *sqlstore.Store, done <-chan time.Time) (took []float64) {
	b.Helper()
	revision := w.full.revision()
	for n := 0; ; n++ {
		select {
		case <-done:
			return took
		default:
		}
		client := w.clients[n%len(w.clients)]
		issued := time.Now().Truncate(time.Second)
		t := &auth.Token{
			Client: client.id, Credential: client.secret, API: w.full.apis[jwtAPI], Scope: "read write", Issued: issued, Expires: issued.Add(time.Hour), Revision: revision,
		}
		t.ID = auth.NewTokenID(t.Issued, t.Expires)
		began := time.Now()
		w.check(store.InsertTokens(b.Context(), []*auth.Token{t}, false))
		took = append(took, millis(time.Since(began)))
	}
}

func commitSide(name string, took []float64) report.Side {
	slices.Sort(took)
	return report.Side{Name: name, Requests: len(took), Figures: []report.Figure{
		report.NewFigure("median commit", report.Millis, took[len(took)/2]), report.NewFigure(longestCommit, report.Millis, took[len(took)-1]),
	}}
}
