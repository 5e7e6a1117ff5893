package sqlstore_test

import (
	"database/sql"
	"fmt"
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
			Scope: "inventory:read inventory:write", Issued: issued, Expires: issued.Add(time.Hour),
		}
	}
	return batch
}

// BenchmarkInsertTokens compares batches of tokens with what the database alone can do: the same rows by a bare INSERT.
func BenchmarkInsertTokens(b *testing.B) {
	url := testbed.StartMariaDB(b).URL()
	s, err := sqlstore.Open(b.Context(), sqlstore.Config{URL: url, Logger: discard()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	db := testbed.OpenMySQL(b, url)
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("rows=%d/store", n), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				batch := tokens(n)
				if err := s.InsertTokens(b.Context(), batch, false); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("rows=%d/bare", n), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				bare(b, db, tokens(n))
			}
		})
	}
}

// bare inserts tokens by one statement, without the store.
func bare(tb testing.TB, db *sql.DB, batch []*auth.Token) {
	tb.Helper()
	var q strings.Builder
	q.WriteString("INSERT INTO tokens VALUES ")
	for i, t := range batch {
		if i > 0 {
			q.WriteByte(',')
		}
		fmt.Fprintf(&q, "(x'%x',x'%x',x'%x',x'%x','%s',%d,%d,%d,NULL)", t.ID[:], t.Client[:], t.Credential[:], t.API[:], t.Scope,
			t.Issued.UnixMicro(), t.Expires.UnixMicro(), t.Revision)
	}
	if _, err := db.ExecContext(tb.Context(), q.String()); err != nil {
		tb.Fatal(err)
	}
}
