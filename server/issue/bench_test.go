package issue_test

import (
	"context"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/issue"
)

// commitTime is about that of MariaDB on a fast disk.
const commitTime = 300 * time.Microsecond

type sleeping struct{ auth.Ledger }

func (sleeping) InsertTokens(context.Context, []*auth.Token, bool) error {
	time.Sleep(commitTime)
	return nil
}

// BenchmarkIssue is beside BenchmarkBareLimit, which does the same with nothing of ours in it, both with 32 callers at a time.
func BenchmarkIssue(b *testing.B) {
	w := issue.New(issue.Config{Ledger: sleeping{}, Directory: &directory{}})
	start(b, w)
	row := token(1)
	decide := decides(row)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.Issue(b.Context(), decide, nil); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkBareLimit(b *testing.B) {
	type waiter struct {
		row  *auth.Token
		done chan error
	}
	queue := make(chan waiter, 10_000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for first := range queue {
			batch := []waiter{first}
			for len(queue) > 0 && len(batch) < 500 {
				batch = append(batch, <-queue)
			}
			time.Sleep(commitTime)
			for _, w := range batch {
				w.done <- nil
			}
		}
	}()
	row := token(1)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		done := make(chan error, 1)
		for pb.Next() {
			queue <- waiter{row, done}
			<-done
		}
	})
	close(queue)
	<-ended
}

func BenchmarkIssueOnSQLite(b *testing.B) {
	i := newInstance(b, database(b), issue.Config{})
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := i.issue(b.Context()); err != nil {
				b.Error(err)
			}
		}
	})
}
