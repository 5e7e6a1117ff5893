package refresh_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/refresh"
)

func TestValue_ManyGoroutinesStartingColdMakeOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: 100 * time.Millisecond, lifetime: time.Hour}
		s := i.source(t)
		got := make([]*token, 10_000)
		var all sync.WaitGroup
		for n := range got {
			all.Go(func() { got[n] = value(t, s) })
		}
		all.Wait()
		for _, v := range got {
			if v != got[0] || v == nil {
				t.Fatalf("two values: %v and %v", v, got[0])
			}
		}
		if n := i.requests(); n != 1 {
			t.Fatalf("%d requests, want 1", n)
		}
	})
}

func TestValue_Lifetimes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lifetime time.Duration
	}{
		{"1 s", time.Second},
		{"30 s", 30 * time.Second},
		{"200 s", 200 * time.Second},
		{"300 s, as if none was said", 300 * time.Second},
		{"24 h", 24 * time.Hour},
		{"10 years", 10 * 365 * 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{takes: time.Millisecond, lifetime: tt.lifetime}
				s := i.source(t)
				value(t, s)
				began := i.times()[0]

				time.Sleep(time.Until(began.Add(tt.lifetime / 100 * 69)))
				for range 100 {
					value(t, s)
				}
				if n := i.requests(); n != 1 {
					t.Fatalf("%d requests while fresh, want 1", n)
				}
				time.Sleep(time.Until(began.Add(tt.lifetime / 100 * 81)))
				if old := value(t, s); old.n != 1 {
					t.Fatalf("stale: value %d, want the old one", old.n)
				}
				time.Sleep(10 * time.Millisecond)
				if v := value(t, s); v.n != 2 {
					t.Fatalf("after the refresh: value %d, want 2", v.n)
				}
				time.Sleep(tt.lifetime * 2)
				if n := i.requests(); n != 2 {
					t.Fatalf("%d requests, want 2: nobody used it", n)
				}
				if phase := s.Describe().Phase; phase != refresh.Expired {
					t.Fatalf("phase %s, want expired", phase)
				}
				if v := value(t, s); v.n != 3 {
					t.Fatalf("after the end: value %d, want 3", v.n)
				}
			})
		})
	}
}

func TestValue_RefreshesWhereJitterSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: 100 * time.Second}
		s := i.source(t)
		value(t, s)
		seen := map[time.Duration]bool{}
		for len(i.times()) < 30 {
			time.Sleep(100 * time.Millisecond)
			value(t, s)
			synctest.Wait()
		}
		for n := 1; n < len(i.times()); n++ {
			life := i.times()[n].Sub(i.times()[n-1])
			within(t, "refresh after", life, 70*time.Second, 80*time.Second+100*time.Millisecond)
			seen[life] = true
		}
		if len(seen) < 5 {
			t.Errorf("only %d different times in 30: no jitter", len(seen))
		}
	})
}

func TestValue_LifeCountsFromTheStartOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: 20 * time.Second, lifetime: 100 * time.Second}
		s := i.source(t)
		if _, err := s.Value(t.Context()); !errors.Is(err, refresh.ErrMaxWait) {
			t.Fatalf("error %v, want ErrMaxWait", err)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		value(t, s)
		within(t, "valid for", time.Until(s.Describe().Expires), 79*time.Second, 80*time.Second)
	})
}

func TestValue_LateOneGoesToWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: 2 * time.Second, lifetime: time.Second}
		s := i.source(t)
		if v := value(t, s); v.n != 1 {
			t.Fatalf("value %d", v.n)
		}
		if v := value(t, s); v.n != 2 {
			t.Fatalf("value %d: one whose life is over was kept", v.n)
		}
	})
}

func TestValue_CallerThatLeavesCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Second, lifetime: time.Hour}
		s := i.source(t)
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Value(first); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want Canceled", err)
			}
		})
		synctest.Wait()
		all.Go(func() { value(t, s) })
		leave()
		all.Wait()
		if n := i.requests(); n != 1 {
			t.Fatalf("%d requests, want 1", n)
		}
		if v, err := s.Value(first); err != nil || v.n != 1 {
			t.Fatalf("held value with an ended context: %v, %v", v, err)
		}
	})
}

func TestValue_EndedContextStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: time.Hour}
		s := i.source(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Value(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want Canceled", err)
		}
		synctest.Wait()
		if n := i.requests(); n != 0 {
			t.Fatalf("%d requests, want 0", n)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Minute, lifetime: time.Hour}
		s := i.source(t)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := s.Value(t.Context()); !errors.Is(err, refresh.ErrClosed) {
					t.Errorf("waiting: error %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		s.Close()
		if i.running != 0 {
			t.Error("Close returned before the fetch did")
		}
		all.Wait()
		within(t, "Close took", time.Since(began), 0, 0)
		if _, err := s.Value(t.Context()); !errors.Is(err, refresh.ErrClosed) {
			t.Errorf("Value: error %v, want ErrClosed", err)
		}
		if _, err := s.Replace(t.Context(), nil); !errors.Is(err, refresh.ErrClosed) {
			t.Errorf("Replace: error %v, want ErrClosed", err)
		}
		s.Close()
	})
}

func TestClose_BetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{fails: errDown}
		s := i.source(t)
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Value(t.Context()); !errors.Is(err, refresh.ErrClosed) {
				t.Errorf("error %v, want ErrClosed", err)
			}
		})
		time.Sleep(3 * time.Second)
		s.Close()
		all.Wait()
	})
}

func TestClose_WithValidValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: time.Hour}
		s := i.source(t)
		value(t, s)
		s.Close()
		if _, err := s.Value(t.Context()); !errors.Is(err, refresh.ErrClosed) {
			t.Errorf("error %v, want ErrClosed", err)
		}
	})
}

// listener is a log whose reader does something of its own with every record.
type listener struct {
	slog.Handler
	hear func()
}

func (l listener) Enabled(context.Context, slog.Level) bool { return true }

func (l listener) Handle(context.Context, slog.Record) error {
	l.hear()
	return nil
}

// A log may be sent by somebody who needs a value for that, and may be slow.
func TestLog_HoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: 100 * time.Second}
		var s source
		heard := 0
		s = refresh.New(refresh.Config[token]{
			Fetch:     i.fetch,
			Permanent: func(err error) bool { return errors.Is(err, errRefused) },
			Log: slog.New(listener{slog.DiscardHandler, func() {
				heard++
				_, _ = s.Value(t.Context())
				time.Sleep(time.Minute)
			}}),
		})
		value(t, s)
		for _, fails := range []error{errDown, nil, errRefused} {
			i.fail(fails)
			time.Sleep(80 * time.Second)
			began := time.Now()
			value(t, s)
			synctest.Wait()
			_ = s.Describe()
			within(t, "held up", time.Since(began), 0, 0)
		}
		time.Sleep(time.Minute) // what is held has expired
		i.fail(errRefused)
		began := time.Now()
		if _, err := s.Value(t.Context()); !errors.Is(err, errRefused) {
			t.Errorf("error %v, want the refusal", err)
		}
		within(t, "held up", time.Since(began), 0, 0)
		s.Close()
		if heard < 2 {
			t.Errorf("heard %d times", heard)
		}
	})
}

func TestValue_DoesNotAllocate(t *testing.T) {
	i := &issuer{lifetime: time.Hour}
	s := i.source(t)
	value(t, s)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Value(ctx) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
