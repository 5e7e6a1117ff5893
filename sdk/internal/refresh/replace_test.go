package refresh_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/refresh"
)

func TestReplace_BurstMakesOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: 100 * time.Millisecond, lifetime: time.Hour}
		s := i.source(t)
		old := value(t, s)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if v, err := s.Replace(t.Context(), old); err != nil || v.n != 2 {
					t.Errorf("%v, %v; want value 2", v, err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		if v := value(t, s); v != old {
			t.Errorf("meanwhile: value %d, want the old one", v.n)
		}
		within(t, "others waited", time.Since(began), 0, 0)
		all.Wait()
		if v, err := s.Replace(t.Context(), old); err != nil || v.n != 2 {
			t.Errorf("late: %v, %v; want value 2", v, err)
		}
		if v := value(t, s); v.n != 2 {
			t.Errorf("afterwards: value %d, want 2", v.n)
		}
		if n := i.requests(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		if i.refused[0] != nil || i.refused[1] != old {
			t.Errorf("fetch was told of %v", i.refused)
		}
	})
}

// Whoever was given a value by Replace, or waited for one, finds that one in Value too: a call is sent once more with it.
func TestReplace_IsWhatValueReturns(t *testing.T) {
	for range 2000 {
		i := &issuer{lifetime: time.Hour}
		s := i.source(t)
		old := value(t, s)
		other, err := s.Replace(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		if v := value(t, s); v != other {
			t.Fatalf("value %d after Replace returned %d", v.n, other.n)
		}
	}
}

func TestReplace_IsRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: time.Hour}
		s := i.source(t)
		began := time.Now()
		var often int
		for time.Since(began) < 100*time.Second {
			if _, err := s.Replace(t.Context(), value(t, s)); errors.Is(err, refresh.ErrTooOften) {
				often++
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := i.requests(); n < 12 || n > 14 {
			t.Errorf("%d requests in 100 s, want 1 + 3 + about 9", n)
		}
		if often == 0 || s.Describe().Forced != uint64(i.requests())-1 {
			t.Errorf("%d refused, %d forced", often, s.Describe().Forced)
		}
	})
}

func TestReplace_FailureLeavesTheOld(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
	}{
		{"down", errDown},
		{"refused", errRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{takes: 50 * time.Millisecond, lifetime: time.Hour}
				s := i.source(t)
				old := value(t, s)
				i.fail(tt.err)
				began := time.Now()
				if _, err := s.Replace(t.Context(), old); !errors.Is(err, tt.err) {
					t.Errorf("error %v, want the failure", err)
				}
				within(t, "waited", time.Since(began), 50*time.Millisecond, 50*time.Millisecond)
				if v := value(t, s); v != old {
					t.Error("the old value is gone")
				}
				time.Sleep(time.Minute)
				if n := i.requests(); n != 2 {
					t.Errorf("%d requests, want 2: nobody waits, and the old one is fresh", n)
				}
			})
		})
	}
}

func TestReplace_JoinsTheFlightOfAStaleValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: 100 * time.Millisecond, lifetime: 100 * time.Second}
		s := i.source(t)
		old := value(t, s)
		time.Sleep(80 * time.Second)
		value(t, s)
		synctest.Wait()
		if v, err := s.Replace(t.Context(), old); err != nil || v.n != 2 {
			t.Errorf("%v, %v; want value 2", v, err)
		}
		if n := i.requests(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

func TestReplace_HurriesTheFlightInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Millisecond, lifetime: time.Hour}
		s := i.source(t)
		old := value(t, s)
		time.Sleep(50 * time.Minute)
		i.fail(errDown)
		value(t, s)
		for range 20 {
			time.Sleep(20 * time.Second)
			began := time.Now()
			if _, err := s.Replace(t.Context(), old); !errors.Is(err, errDown) {
				t.Errorf("error %v, want the failure", err)
			}
			within(t, "waited", time.Since(began), 0, time.Second+time.Millisecond)
		}
	})
}

func TestReplace_CallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Second, lifetime: time.Hour}
		s := i.source(t)
		old := value(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := s.Replace(ctx, old); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want DeadlineExceeded", err)
		}
		time.Sleep(time.Second)
		if v := value(t, s); v.n != 2 {
			t.Errorf("value %d, want 2: who leaves cancels nothing", v.n)
		}
	})
}

func TestReplace_WithoutAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Second, lifetime: time.Hour}
		s := i.source(t)
		if v, err := s.Replace(t.Context(), nil); err != nil || v.n != 1 {
			t.Errorf("%v, %v; want value 1", v, err)
		}
	})
}

func TestReplace_CallersWhoAreGoneUseUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: time.Hour}
		s := i.source(t)
		old := value(t, s)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 10 {
			if _, err := s.Replace(gone, old); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want Canceled", err)
			}
			synctest.Wait()
		}
		if v, err := s.Replace(t.Context(), old); err != nil || v.n != 2 {
			t.Errorf("%v, %v; want value 2", v, err)
		}
	})
}
