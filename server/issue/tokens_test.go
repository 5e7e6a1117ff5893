package issue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/issue"
)

func TestAnswerComesAfterTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var committed atomic.Bool
		store := &ledger{insert: func(context.Context, []*auth.Token, bool) error {
			time.Sleep(time.Second)
			committed.Store(true)
			return nil
		}}
		w := issue.New(issue.Config{Ledger: store, Directory: &directory{}})
		start(t, w)
		signed := false
		row := token(1)
		got, err := w.Issue(t.Context(), decides(row), func(given *auth.Token) error {
			signed = given == row && !committed.Load()
			return nil
		})
		if err != nil || got != row || !committed.Load() || !signed {
			t.Errorf("%v, %v: committed %v, signed meanwhile %v", got, err, committed.Load(), signed)
		}
	})
}

// A batch is what queued while the one before was committed, but for a few that would make it one of too many sizes.
func TestBatches(t *testing.T) {
	for _, tt := range []struct {
		max, tokens int
		want        []int
	}{
		{30, 51, []int{1, 30, 20}},
		{500, 1 + 31, []int{1, 31}},
		{500, 1 + 101, []int{1, 100, 1}},
		{500, 1 + 700, []int{1, 496, 200, 4}},
	} {
		t.Run(strconv.Itoa(tt.tokens), func(t *testing.T) { batches(t, tt.max, tt.tokens, tt.want) })
	}
}

func batches(t *testing.T, most, tokens int, want []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{insert: func(context.Context, []*auth.Token, bool) error {
			time.Sleep(time.Second)
			return nil
		}}
		w := issue.New(issue.Config{Ledger: store, Directory: &directory{}, MaxBatch: most})
		start(t, w)
		var all sync.WaitGroup
		for i := range tokens {
			all.Go(func() {
				if i > 0 {
					time.Sleep(500 * time.Millisecond) // while the first row is being committed
				}
				if _, err := w.Issue(t.Context(), decides(token(1)), nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if rows, batches := store.committed(); rows != tokens || !slices.Equal(batches, want) {
			t.Errorf("%d rows in batches %v, want %v", rows, batches, want)
		}
	})
}

// Who is to know of commits hears of each, how many rows it had and how long it took, before Issue returns.
func TestCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type callerKey struct{}
		gone := errors.New("no such column")
		store := &ledger{insert: func(_ context.Context, tokens []*auth.Token, _ bool) error {
			time.Sleep(time.Second)
			if len(tokens) == 1 && tokens[0].Revision == 9 {
				return gone
			}
			return nil
		}}
		var told []issue.Commit
		w := issue.New(issue.Config{Ledger: store, Directory: &directory{}, Committed: func(ctx context.Context, c issue.Commit) {
			if ctx.Value(callerKey{}) == nil {
				t.Error("the context is not the caller's")
			}
			told = append(told, c)
		}})
		start(t, w)
		began := time.Now()
		ctx := context.WithValue(t.Context(), callerKey{}, true)
		for _, revision := range []uint64{1, 9} {
			_, _ = w.Issue(ctx, decides(token(revision)), nil)
		}
		if len(told) != 2 {
			t.Fatalf("told of %d commits, want 2", len(told))
		}
		if c := told[0]; c.Rows != 1 || c.Err != nil || !c.Began.Equal(began) || c.Ended.Sub(c.Began) != time.Second || c.Token == (auth.TokenID{}) {
			t.Errorf("told of %+v", c)
		}
		if c := told[1]; !errors.Is(c.Err, gone) {
			t.Errorf("told of %+v", c)
		}
		leaving, leave := context.WithTimeout(ctx, time.Millisecond)
		defer leave()
		if _, err := w.Issue(leaving, decides(token(1)), nil); err == nil || len(told) != 2 {
			t.Errorf("%v: told of a commit whose end nobody waited for", err)
		}
		synctest.Wait()
	})
}

// Rows that the change log has overtaken are decided again, from a directory that has caught up; the others are not.
func TestStaleRowsAreDecidedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := &directory{}
		store := &ledger{insert: func(_ context.Context, tokens []*auth.Token, _ bool) error {
			time.Sleep(time.Second)
			for _, row := range tokens {
				if row.Revision < 7 {
					return &auth.StaleError{Sequence: 7}
				}
			}
			return nil
		}}
		w := issue.New(issue.Config{Ledger: store, Directory: known})
		start(t, w)
		var all sync.WaitGroup
		var decided [3]int
		for i := range 3 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond) // 0 goes alone; 1 and 2 share a batch
				got, err := w.Issue(t.Context(), func() (*auth.Token, error) {
					decided[i]++
					switch {
					case i == 2:
						return token(8), nil
					case decided[i] > 1 && len(known.reads()) == 0:
						t.Error("decided again from the same state")
					case decided[i] > 1:
						return token(7), nil
					}
					return token(6), nil
				}, nil)
				if err != nil || got.Revision < 7 {
					t.Errorf("row %d: %v, %v", i, got, err)
				}
			})
		}
		all.Wait()
		if decided != [3]int{2, 2, 1} || !slices.Equal(known.reads(), []uint64{7, 7}) {
			t.Errorf("decided %v, reached %v", decided, known.reads())
		}
		if rows, batches := store.committed(); rows != 3 || !slices.Equal(batches, []int{2, 1}) && !slices.Equal(batches, []int{3}) {
			t.Errorf("%d rows in %v", rows, batches)
		}
	})
}

func TestStaleForever(t *testing.T) {
	store := &ledger{insert: func(context.Context, []*auth.Token, bool) error { return &auth.StaleError{Sequence: 9} }}
	for name, known := range map[string]*directory{"overtaken each time": {}, "cut off": {err: fault.New(fault.Unavailable, "cut off")}} {
		t.Run(name, func(t *testing.T) {
			w := issue.New(issue.Config{Ledger: store, Directory: known, Rounds: 3})
			start(t, w)
			rounds := 0
			_, err := w.Issue(t.Context(), func() (*auth.Token, error) { rounds++; return token(1), nil }, nil)
			if !errors.Is(err, fault.Unavailable) || rounds != len(known.reads()) || rounds > 3 {
				t.Errorf("%v after %d rounds", err, rounds)
			}
		})
	}
}

func TestRefusedDecisionIsReturned(t *testing.T) {
	w := issue.New(issue.Config{Ledger: &ledger{}, Directory: &directory{}})
	start(t, w)
	want := fault.New(fault.InvalidScope, "no")
	if _, err := w.Issue(t.Context(), func() (*auth.Token, error) { return nil, want }, nil); !errors.Is(err, want) {
		t.Error(err)
	}
	if _, err := w.Issue(t.Context(), decides(token(1)), func(*auth.Token) error { return want }); !errors.Is(err, want) {
		t.Error(err)
	}
}

func TestNotReady(t *testing.T) {
	w := issue.New(issue.Config{Ledger: &ledger{}, Directory: &directory{}, Ready: func() error { return errors.New("restored") }})
	start(t, w)
	_, err := w.Issue(t.Context(), func() (*auth.Token, error) { t.Error("decided"); return token(1), nil }, nil)
	if !errors.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{insert: func(context.Context, []*auth.Token, bool) error { time.Sleep(time.Second); return nil }}
		w := issue.New(issue.Config{Ledger: store, Directory: &directory{}, Queue: 2, MaxBatch: 1})
		start(t, w)
		var all sync.WaitGroup
		for range 3 { // one is being committed, two queue
			all.Go(func() {
				if _, err := w.Issue(t.Context(), decides(token(1)), nil); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		began := time.Now()
		_, err := w.Issue(t.Context(), decides(token(1)), nil)
		if found := fault.From(err); found == nil || found.Code != fault.Unavailable || found.RetryAfter != time.Second || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		all.Wait()
	})
}

// One bad row of many fails, and no other.
func TestBadRowFailsAlone(t *testing.T) {
	bad := token(1)
	gate := make(chan struct{})
	var once sync.Once
	store := &ledger{insert: func(_ context.Context, tokens []*auth.Token, _ bool) error {
		once.Do(func() { <-gate })
		if slices.Contains(tokens, bad) {
			return errors.New("data too long")
		}
		return nil
	}}
	w := issue.New(issue.Config{Ledger: store, Directory: &directory{}})
	start(t, w)
	var all sync.WaitGroup
	for i := range 50 {
		row := token(1)
		if i == 20 {
			row = bad
		}
		all.Go(func() {
			_, err := w.Issue(t.Context(), decides(row), nil)
			if (err != nil) != (row == bad) || errors.Is(err, fault.Unavailable) {
				t.Errorf("row %d: %v", i, err)
			}
		})
	}
	close(gate)
	all.Wait()
	if rows, _ := store.committed(); rows != 49 {
		t.Errorf("%d rows", rows)
	}
}

func TestUnknownOutcome(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fails  int // so many calls end with an unknown outcome
		want   error
		within time.Duration
	}{
		{"then success", 2, nil, time.Second},
		{"for good", 1 << 20, fault.Unavailable, 3100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				row := token(1)
				calls := 0
				store := &ledger{insert: func(_ context.Context, tokens []*auth.Token, retry bool) error {
					if calls++; retry != (calls > 1) || len(tokens) != 1 || tokens[0] != row {
						t.Errorf("call %d: retry %v of %v", calls, retry, tokens)
					}
					if calls <= tt.fails {
						return fmt.Errorf("commit: %w", auth.ErrOutcomeUnknown)
					}
					return nil
				}}
				w := issue.New(issue.Config{Ledger: store, Directory: &directory{}})
				start(t, w)
				began := time.Now()
				if _, err := w.Issue(t.Context(), decides(row), nil); !errors.Is(err, tt.want) || time.Since(began) > tt.within {
					t.Errorf("%v after %v and %d calls", err, time.Since(began), calls)
				}
			})
		})
	}
}

// A hung database answers nobody, so nobody waits for it longer than one transaction may take, however long the queue.
func TestHungDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{insert: func(ctx context.Context, _ []*auth.Token, _ bool) error {
			<-ctx.Done()
			return fault.Wrap(fault.Unavailable, "database", ctx.Err())
		}}
		w := issue.New(issue.Config{Ledger: store, Directory: &directory{}, MaxBatch: 2})
		start(t, w)
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := w.Issue(t.Context(), decides(token(1)), nil)
				if !errors.Is(err, fault.Unavailable) || time.Since(began) > 2*time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		}
		all.Wait()
	})
}

func TestCallerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{insert: func(context.Context, []*auth.Token, bool) error { time.Sleep(time.Second); return nil }}
		w := issue.New(issue.Config{Ledger: store, Directory: &directory{}})
		start(t, w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := w.Issue(ctx, decides(token(1)), nil); !errors.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := w.Issue(t.Context(), decides(token(1)), nil); err != nil { // nothing of the first is in the way
			t.Error(err)
		}
		if rows, _ := store.committed(); rows != 2 {
			t.Errorf("%d rows", rows)
		}
	})
}

// Told to end, the writer writes what is queued, for as long as it may.
func TestDrain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		drain   time.Duration
		written int
	}{
		{"in time", time.Minute, 50},
		{"out of time", 4500 * time.Millisecond, 1 + 5*2}, // one alone, then batches of two
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &ledger{insert: func(context.Context, []*auth.Token, bool) error { time.Sleep(time.Second); return nil }}
				w := issue.New(issue.Config{Ledger: store, Directory: &directory{}, MaxBatch: 2, Drain: tt.drain})
				stop := start(t, w)
				var all sync.WaitGroup
				var good atomic.Int64
				for range 50 {
					all.Go(func() {
						_, err := w.Issue(t.Context(), decides(token(1)), nil)
						if err == nil {
							good.Add(1)
						} else if !errors.Is(err, fault.Unavailable) {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				stop()
				all.Wait()
				if rows, _ := store.committed(); rows != tt.written || good.Load() != int64(tt.written) {
					t.Errorf("%d rows, %d answers", rows, good.Load())
				}
				if _, err := w.Issue(t.Context(), decides(token(1)), nil); !errors.Is(err, fault.Unavailable) {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}
