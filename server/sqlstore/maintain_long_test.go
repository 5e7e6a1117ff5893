//go:build long

package sqlstore_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	purges       = 3
	perPurge     = 333_334 // expired tokens
	livingTokens = 100_000
	perFill      = 1000
	perInsert    = 16

	purgeSpan   = 2 * time.Hour   // tokens that one purge finds expired
	clockMargin = 2 * time.Minute // what Maintain allows for clocks that differ
	leastWindow = 5 * time.Second // over which a rate is measured
	// longest is what no statement may take, unless inserts take longer without a purge, too: the disk may have other work.
	longest = 100 * time.Millisecond
	// forgiven is in how many purges one may: what else the machine does comes and goes.
	forgiven = 1

	insertion = "InsertTokens"
)

// purge is a database with a million tokens that expire within six hours, and some that outlive them.
type purge struct {
	store *sqlstore.Store
	db    *sql.DB
	start time.Time // the first of the tokens expires; on the hour, as partitions end
	// statements returns how long those of maintenance took since the last call, by kind, if the server tells.
	statements func(*testing.T) map[string][]time.Duration
	kind       string // of the statements that purge
	written    int64  // rows that were inserted since
}

func TestMaintainMillionByPartition(t *testing.T) {
	purgeMariaDB(t, "ALL PRIVILEGES", "ALTER")
}

func TestMaintainMillionByRow(t *testing.T) {
	purgeMariaDB(t, "SELECT, INSERT, UPDATE, DELETE", "DELETE")
}

// purgeMariaDB purges as a user with some rights. The server's own log times the statements, and one of the kind must be there.
func purgeMariaDB(t *testing.T, rights, kind string) {
	server := testbed.StartMariaDB(t, "--innodb-log-file-size=96M", "--log-output=TABLE", "--long-query-time=0", "--min-examined-row-limit=0")
	migrated(t, server.URL())
	p := &purge{db: testbed.OpenMySQL(t, server.URL())}
	p.fill(t)
	execute(t, p.db, "CREATE USER 'measured'@'%' IDENTIFIED BY 'm'", "GRANT "+rights+" ON countersign.* TO 'measured'@'%'",
		"SET GLOBAL slow_query_log = 1")
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("measured", "m")
	p.store = patient(t, u.String())
	p.kind = kind
	p.statements = func(t *testing.T) map[string][]time.Duration { return loggedStatements(t, p.db) }
	p.run(t)
}

// loggedStatements reads the log of the server and empties it.
func loggedStatements(t *testing.T, db *sql.DB) map[string][]time.Duration {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT SUBSTRING_INDEX(sql_text, ' ', 1), CAST(TIME_TO_SEC(query_time) * 1000000 AS INT) "+
		"FROM mysql.slow_log WHERE user_host LIKE 'measured[%' AND sql_text NOT LIKE 'INSERT %'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	took := make(map[string][]time.Duration)
	for rows.Next() {
		var kind string
		var micros int64
		if err := rows.Scan(&kind, &micros); err != nil {
			t.Fatal(err)
		}
		took[kind] = append(took[kind], time.Duration(micros)*time.Microsecond)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	execute(t, db, "TRUNCATE mysql.slow_log")
	return took
}

// TestMaintainMillionSQLite times no statement by itself: there is one writer at a time, and one insert is always waiting or
// running, so that it waits at least as long as the longest deletion takes.
func TestMaintainMillionSQLite(t *testing.T) {
	where := "sqlite:" + filepath.Join(t.TempDir(), "db")
	migrated(t, where)
	p := &purge{store: patient(t, where), db: raw(t, where), kind: insertion}
	p.statements = func(*testing.T) map[string][]time.Duration { return make(map[string][]time.Duration) }
	p.fill(t)
	p.run(t)
}

// patient returns a store that measures a database which stands still for a while, rather than to give up.
func patient(t *testing.T, where string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: where, Timeout: 30 * time.Second, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func (p *purge) fill(t *testing.T) {
	began := time.Now()
	p.start = began.Truncate(time.Hour).Add(time.Hour).UTC()
	for n := range purges {
		p.fillSpan(t, perPurge, p.cut(n-1), p.cut(n))
	}
	p.fillSpan(t, livingTokens, p.cut(purges-1).Add(auth.BucketLength), p.cut(purges+1))
	t.Logf("filled in %s", time.Since(began).Round(time.Millisecond))
}

// cut is when what the purge of a number finds expired has expired, counting from 0.
func (p *purge) cut(n int) time.Time { return p.start.Add(time.Duration(n+1) * purgeSpan) }

// fillSpan inserts n tokens that expire evenly within a span.
func (p *purge) fillSpan(t *testing.T, n int, from, to time.Time) {
	t.Helper()
	var batch []*auth.Token
	for i := range n {
		batch = append(batch, tokenUntil(from.Add(time.Duration(i)*(to.Sub(from)/time.Duration(n)))))
		if len(batch) == perFill || i == n-1 {
			bare(t, p.db, batch)
			batch = batch[:0]
		}
	}
}

func tokenUntil(expires time.Time) *auth.Token {
	expires = expires.Truncate(time.Second)
	issued := expires.Add(-time.Hour)
	return &auth.Token{
		ID: auth.NewTokenID(issued, expires), Client: auth.ClientID{1}, Credential: auth.SecretID{2}, API: auth.APIID{3},
		Scope: "inventory:read inventory:write", Issued: issued, Expires: expires,
	}
}

// run purges a part of the expired tokens at a time, while tokens are inserted.
func (p *purge) run(t *testing.T) {
	slow := 0
	for n := range purges {
		began := time.Now()
		rate, waits := p.whileInserting(t, leastWindow, func() {
			m, err := p.store.Maintain(t.Context(), p.cut(n).Add(clockMargin), auth.AuditRetention)
			if err != nil || !m.Held || m.TokensRemoved == 0 {
				t.Errorf("Maintain: %+v, %v", m, err)
			}
			t.Logf("purge %d took %s", n+1, time.Since(began).Round(time.Millisecond))
		})
		window := time.Since(began)
		statements := p.statements(t)
		if p.kind == insertion {
			statements[insertion] = waits
		}
		if len(statements[p.kind]) == 0 {
			t.Errorf("no %s was timed", p.kind)
		}
		p.check(t, n)
		quiet, alone := p.whileInserting(t, window, func() {})
		p.statements(t)
		t.Logf("%.0f tokens/s were inserted meanwhile, and %.0f in the same time without a purge", rate, quiet)
		report(t, map[string][]time.Duration{"beside": waits})
		usual := report(t, map[string][]time.Duration{"without": alone})
		if report(t, statements) > max(longest, usual) {
			slow++
		}
	}
	if slow > forgiven {
		t.Errorf("a statement took over %s in %d purges of %d", longest, slow, purges)
	}
}

// whileInserting inserts tokens that live on, until do has returned and the window is over. It returns how many
// tokens per second that were, and how long each insert took.
func (p *purge) whileInserting(t *testing.T, window time.Duration, do func()) (rate float64, waits []time.Duration) {
	began, expires := time.Now(), p.cut(purges)
	var done atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for !done.Load() || time.Since(began) < window {
			batch := make([]*auth.Token, perInsert)
			for i := range batch {
				batch[i] = tokenUntil(expires)
			}
			asked := time.Now()
			if err := p.store.InsertTokens(t.Context(), batch, false); err != nil {
				t.Errorf("InsertTokens: %v", err)
				return
			}
			waits = append(waits, time.Since(asked))
		}
	})
	do()
	done.Store(true)
	running.Wait()
	p.written += int64(len(waits) * perInsert)
	return float64(len(waits)*perInsert) / time.Since(began).Seconds(), waits
}

// report prints how long the statements of each kind took, and returns the longest time.
func report(t *testing.T, statements map[string][]time.Duration) (worst time.Duration) {
	t.Helper()
	var b strings.Builder
	for kind, took := range statements {
		slices.Sort(took)
		last := len(took) - 1
		fmt.Fprintf(&b, "\n  %-12s %6d, median %9s, 99%% below %9s, longest %9s", kind, len(took), round(took[last/2]), round(took[last*99/100]),
			round(took[last]))
		worst = max(worst, took[last])
	}
	t.Log(b.String())
	return worst
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// check counts the rows on both sides of the first id that was not to be purged.
func (p *purge) check(t *testing.T, n int) {
	t.Helper()
	first := auth.FirstTokenID(auth.Bucket(p.cut(n)))
	var below, above int64
	for _, side := range []struct {
		compare string
		count   *int64
	}{{"<", &below}, {">=", &above}} {
		if err := p.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM tokens WHERE jti "+side.compare+" ?", first[:]).Scan(side.count); err != nil {
			t.Fatal(err)
		}
	}
	if want := int64((purges-n-1)*perPurge) + livingTokens + p.written; below != 0 || above != want {
		t.Errorf("%d expired and %d other tokens are left, want none and %d", below, above, want)
	}
}
