package issue_test

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/issue"
)

// ledger keeps what it is given, and fails as a test wants it to.
type ledger struct {
	auth.Ledger
	insert func(ctx context.Context, tokens []*auth.Token, retry bool) error // nil: success
	revoke func(ctx context.Context, r []auth.Revocation) error              // nil: success

	mu       sync.Mutex
	rows     map[auth.TokenID]int
	batches  []int
	entries  []auth.Revocation
	sequence uint64
}

func (l *ledger) InsertTokens(ctx context.Context, tokens []*auth.Token, retry bool) error {
	if l.insert != nil {
		if err := l.insert(ctx, tokens, retry); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rows == nil {
		l.rows = map[auth.TokenID]int{}
	}
	for _, t := range tokens {
		l.rows[t.ID]++
	}
	l.batches = append(l.batches, len(tokens))
	return nil
}

func (l *ledger) Revoke(ctx context.Context, r []auth.Revocation) (uint64, error) {
	if l.revoke != nil {
		if err := l.revoke(ctx, r); err != nil {
			return 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, r...)
	l.sequence += uint64(len(r))
	l.batches = append(l.batches, len(r))
	return l.sequence, nil
}

func (l *ledger) committed() (rows int, batches []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.rows), l.batches
}

// directory only reaches.
type directory struct {
	auth.Directory
	mu      sync.Mutex
	reached []uint64
	err     error
}

func (d *directory) Reach(_ context.Context, sequence uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached = append(d.reached, sequence)
	return d.err
}

func (d *directory) reads() []uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.reached)
}

func token(revision uint64) *auth.Token {
	t := &auth.Token{Revision: revision}
	_, _ = rand.Read(t.ID[:])
	return t
}

// decides always decides the same.
func decides(t *auth.Token) func() (*auth.Token, error) {
	return func() (*auth.Token, error) { return t, nil }
}

// start runs w until stop, which waits for its end.
func start(tb testing.TB, w *issue.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	tb.Cleanup(stop)
	return stop
}

func revocation(at byte) auth.Revocation {
	return auth.Revocation{
		Change: auth.Change{Kind: auth.RevokeToken, Subject: [16]byte{at}, At: time.Now()},
		Event:  auth.AuditEvent{ID: auth.NewEventID(time.Now()), At: time.Now(), Action: "token.revoke"},
	}
}
