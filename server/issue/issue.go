// Package issue writes token rows and revocations. Requests that come at the same time share a commit: a batch is whatever
// has queued while the one before was being committed, without a timer. Nothing is answered before it is committed.
package issue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/server/auth"
)

const (
	defaultQueue    = 10_000
	defaultMaxBatch = 500
	defaultRounds   = 5
	defaultTimeout  = 2 * time.Second
)

// Config is what a Writer needs. Ledger and Directory are required; zero values elsewhere mean the default.
type Config struct {
	Ledger    auth.Ledger
	Directory auth.Directory
	// Ready says why nothing may be issued; asked before every token, so it must be quick. nil: nothing forbids it.
	Ready func() error
	// Committed is told of the transaction of a token, before Issue returns, by the goroutine that called it. It must not wait. nil:
	// nobody is told.
	Committed func(context.Context, Commit)
	// Hint is called after every commit of revocations, to tell other instances that there is news. It must not wait.
	Hint     func()
	Now      func() time.Time // time.Now
	Logger   *slog.Logger
	Queue    int           // how many tokens, and how many revocations, may wait: 10,000
	MaxBatch int           // how many share a commit: 500
	Rounds   int           // how often a token is decided before its request is given up: 5
	Timeout  time.Duration // for one transaction; with retries of an unknown outcome it is half as much more: 2 s
	// Drain is how long what is queued may still be written when Run is told to end: 5 s.
	Drain      time.Duration
	Registerer prometheus.Registerer
}

// Commit is the transaction by which a token was to be recorded.
type Commit struct {
	Token        auth.TokenID
	Rows         int // that shared it
	Began, Ended time.Time
	Err          error // nil: it is recorded
}

// Writer writes tokens and revocations in batches, each by a goroutine of its own that Run owns. Its methods may be called by
// any number of goroutines; before Run they wait, after it they return fault.Unavailable.
type Writer struct {
	ledger      auth.Ledger
	directory   auth.Directory
	ready       func() error
	committed   func(context.Context, Commit)
	hint        func()
	now         func() time.Time
	logger      *slog.Logger
	rounds      int
	timeout     time.Duration
	drain       time.Duration
	tokens      *queue[*auth.Token]
	revocations *queue[auth.Revocation]
}

// New returns a writer that writes while Run runs.
func New(c Config) *Writer {
	w := &Writer{
		ledger: c.Ledger, directory: c.Directory, ready: c.Ready, committed: c.Committed, hint: c.Hint, now: c.Now, logger: c.Logger,
		rounds: c.Rounds, timeout: c.Timeout, drain: c.Drain,
	}
	if w.ready == nil {
		w.ready = func() error { return nil }
	}
	if w.committed == nil {
		w.committed = func(context.Context, Commit) {}
	}
	if w.hint == nil {
		w.hint = func() {}
	}
	if w.now == nil {
		w.now = time.Now
	}
	if w.logger == nil {
		w.logger = slog.New(slog.DiscardHandler)
	}
	if w.rounds == 0 {
		w.rounds = defaultRounds
	}
	if w.timeout == 0 {
		w.timeout = defaultTimeout
	}
	if w.drain == 0 {
		w.drain = 5 * time.Second
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = defaultMaxBatch
	}
	m := newMetrics(c.Registerer)
	w.tokens = newQueue[*auth.Token](c.Queue, c.MaxBatch, common, m.of("token"))
	w.revocations = newQueue[auth.Revocation](c.Queue, c.MaxBatch, whole, m.of("revocation"))
	m.depth("token", func() int { return len(w.tokens.jobs) })
	m.depth("revocation", func() int { return len(w.revocations.jobs) })
	return w
}

// Run writes until ctx ends, then whatever is queued, within the time for draining. Call it once; end it after the listeners have
// drained, and before the directory's Run, of which it has need.
func (w *Writer) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { w.tokens.run(ctx, w.drain, w.commitTokens) })
	both.Go(func() { w.revocations.run(ctx, w.drain, w.commitRevocations) })
	both.Wait()
}

var _ auth.Revoker = (*Writer)(nil)
