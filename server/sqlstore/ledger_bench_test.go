package sqlstore_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/sqlstore"
)

func tokens(n int) []*auth.Token {
	batch, issued := make([]*auth.Token, n), time.Now().Truncate(time.Second).UTC()
	for i := range batch {
		batch[i] = &auth.Token{
			ID: auth.NewTokenID(issued, issued.Add(time.Hour)), Client: auth.ClientID{1}, Credential: auth.SecretID{2}, API: auth.APIID{3},
			Scope: "inventory:read inventory:write", Issued: issued, Expires: issued.Add(time.Hour), Proof: [32]byte{4},
		}
	}
	return batch
}

// BenchmarkInsertTokens compares batches of tokens with what the database alone can do: the same rows by a bare INSERT.
func BenchmarkInsertTokens(b *testing.B) {
	server := testbed.StartMariaDB(b)
	s, err := sqlstore.Open(b.Context(), sqlstore.Config{URL: server.URL(), Logger: discard()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	db := testbed.OpenMySQL(b, server.URL())
	for _, n := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("rows=%d/store", n), func(b *testing.B) {
			measureRows(b, server, db, n, func(batch []*auth.Token) {
				if err := s.InsertTokens(b.Context(), batch, false); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(fmt.Sprintf("rows=%d/bare", n), func(b *testing.B) {
			measureRows(b, server, db, n, func(batch []*auth.Token) { bare(b, db, batch) })
		})
	}
}

func BenchmarkInsertTokensIntoSQLite(b *testing.B) {
	s := migrated(b, "sqlite:"+filepath.Join(b.TempDir(), "countersign.db"))
	for _, n := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() { // what it takes to make the batch is next to nothing
				if err := s.InsertTokens(b.Context(), tokens(n), false); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
		})
	}
}

// measureRows also reports what a row, or a batch of them, costs the database.
func measureRows(b *testing.B, server *testbed.Server, db *sql.DB, n int, insert func([]*auth.Token)) {
	b.Helper()
	b.ReportAllocs()
	before, busy := counters(b, db), processorTime(b, server.PID())
	for range b.N {
		b.StopTimer()
		batch := tokens(n)
		b.StartTimer()
		insert(batch)
	}
	b.StopTimer()
	busy = processorTime(b, server.PID()) - busy
	after, batches := counters(b, db), float64(b.N)
	rows := batches * float64(n)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/rows, "ns/row")
	b.ReportMetric(float64(busy.Microseconds())/rows, "db-ms/1000-rows")
	b.ReportMetric((after["QUESTIONS"]-before["QUESTIONS"]-1)/batches, "statements/batch") // without the look at the counters itself
	b.ReportMetric((after["INNODB_DATA_FSYNCS"]-before["INNODB_DATA_FSYNCS"])/batches, "fsyncs/batch")
	b.ReportMetric((after["BYTES_RECEIVED"]-before["BYTES_RECEIVED"])/rows, "sent-B/row")
	b.ReportMetric((after["INNODB_LSN_CURRENT"]-before["INNODB_LSN_CURRENT"])/rows, "redo-B/row")
}

// counters returns those of the server by name.
func counters(b *testing.B, db *sql.DB) map[string]float64 {
	b.Helper()
	rows, err := db.QueryContext(b.Context(), "SELECT variable_name, variable_value FROM information_schema.global_status "+
		"WHERE variable_name IN ('QUESTIONS', 'INNODB_DATA_FSYNCS', 'BYTES_RECEIVED', 'INNODB_LSN_CURRENT')")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	found := map[string]float64{}
	for rows.Next() {
		var name string
		var value float64
		if err := rows.Scan(&name, &value); err != nil {
			b.Fatal(err)
		}
		found[strings.ToUpper(name)] = value
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return found
}

// processorTime returns what the threads of a process have used so far.
func processorTime(b *testing.B, pid int) (used time.Duration) {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		b.Fatalf("threads of process %d: %d, %v", pid, len(threads), err)
	}
	for _, thread := range threads {
		var running int64
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		if _, err := fmt.Sscan(string(text), &running); err != nil {
			b.Fatal(err)
		}
		used += time.Duration(running)
	}
	return used
}

// bare inserts tokens by one statement, without the store.
func bare(tb testing.TB, db *sql.DB, batch []*auth.Token) {
	tb.Helper()
	var q strings.Builder
	q.WriteString("INSERT INTO tokens (jti, client, credential, api, scope, issued, expires, revision, proof) VALUES ")
	for i, t := range batch {
		if i > 0 {
			q.WriteByte(',')
		}
		fmt.Fprintf(&q, "(x'%x',x'%x',x'%x',x'%x','%s',%d,%d,%d,x'%x')", t.ID[:], t.Client[:], t.Credential[:], t.API[:], t.Scope,
			t.Issued.UnixMicro(), t.Expires.UnixMicro(), t.Revision, t.Proof[:])
	}
	if _, err := db.ExecContext(tb.Context(), q.String()); err != nil {
		tb.Fatal(err)
	}
}
