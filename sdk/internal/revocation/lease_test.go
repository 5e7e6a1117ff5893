package revocation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// lapses fails the test unless the lease ends at this very moment.
func lapses(t *testing.T, f *revocation.Follower, end time.Time) {
	t.Helper()
	if !f.Lease(end.Add(-1)) || f.Lease(end) {
		t.Errorf("the lease ends %v from now instead of %v", f.Describe().Left, time.Until(end))
	}
}

func TestLease(t *testing.T) {
	const took = 120 * time.Millisecond
	t.Run("start of the poll, less age, plus bound", func(t *testing.T) {
		i := &issuer{delay: took}
		i.answers(of("5", 1, true, 42*time.Millisecond))
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			began := time.Now()
			if f.Lease(began) {
				t.Error("a lease before the first answer")
			}
			time.Sleep(took)
			synctest.Wait()
			lapses(t, f, began.Add(bound-42*time.Millisecond))
			if age, ok := f.Good(time.Now()); !ok || age != took+42*time.Millisecond {
				t.Errorf("age %v", age)
			}
		})
	})
	t.Run("an answer never moves the end back", func(t *testing.T) {
		i := new(issuer)
		i.answers(of("5", 1, true, 0), of("5", 1, false, time.Hour))
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			began := time.Now()
			time.Sleep(bound / 2)
			if len(i.seen().polls) < 2 {
				t.Fatal("no second poll")
			}
			lapses(t, f, began.Add(bound))
			if age, _ := f.Good(time.Now()); age != bound/2 || f.Err() != nil {
				t.Errorf("age %v, %v", age, f.Err())
			}
		})
	})
	t.Run("an answer that was held back for longer than the bound", func(t *testing.T) {
		i := &issuer{delay: 1500 * time.Millisecond}
		i.answers(of("5", 1, true, 0, "a1"))
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			time.Sleep(i.delay)
			synctest.Wait()
			if age, ok := f.Good(time.Now()); f.Lease(time.Now()) || !ok || age != i.delay || refused(f) != "a" {
				t.Errorf("%+v", f.Describe())
			}
		})
	})
	t.Run("an age beyond all bounds", func(t *testing.T) {
		i := new(issuer)
		i.answers(`{"generation":"5","seq":1,"age_ms":99999999999999999999999,"snapshot":true,"entries":[]}`)
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			if f.Err() == nil || f.Lease(time.Now()) {
				t.Errorf("%+v", f.Describe())
			}
			i.answers(`{"generation":"5","seq":1,"age_ms":18446744073709551615,"snapshot":true,"entries":[]}`)
			time.Sleep(bound)
			if age, ok := f.Good(time.Now()); f.Err() != nil || f.Lease(time.Now()) || !ok || age < 9*365*24*time.Hour {
				t.Errorf("%v, %+v", age, f.Describe())
			}
		})
	})
	for name, shift := range map[string]time.Duration{"in the future": time.Hour, "before it was asked": -time.Hour} {
		t.Run("a poll that says it began "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := revocation.New(revocation.Config{Poll: func(context.Context, string) ([]byte, time.Time, error) {
					return []byte(of("5", 1, true, 0)), time.Now().Add(shift), nil
				}})
				began := time.Now()
				run(t, f, func() { lapses(t, f, began.Add(bound)) })
			})
		})
	}
}

// TestCut: the feed is cut off, and comes back.
func TestCut(t *testing.T) {
	i := new(issuer)
	i.answers(of("5", 3, true, 0, "a3"), of("5", 3, false, 0))
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		time.Sleep(10 * time.Minute)
		i.fails(errors.New("cut"))
		last := i.seen().polls[len(i.seen().polls)-1]
		if !f.Lease(time.Now()) {
			t.Errorf("no lease: %+v", f.Describe())
		}
		lapses(t, f, last.Add(bound))
		time.Sleep(10 * time.Minute)
		lapses(t, f, last.Add(bound))
		if age, ok := f.Good(time.Now()); !ok || age != time.Since(last) || refused(f) != "a" {
			t.Errorf("age %v", age)
		}
		if s := f.Describe(); s.PollErr == nil || s.Fresh || s.Left != 0 || s.PollFailures == 0 {
			t.Errorf("%+v", s)
		}
		i.answers(of("5", 4, false, 0, "b4"))
		time.Sleep(2 * time.Second) // the longest pause
		synctest.Wait()
		if !f.Lease(time.Now()) || f.Err() != nil || refused(f) != "ab" {
			t.Errorf("%+v", f.Describe())
		}
	})
}

// gaps returns the times between polls that began after from.
func gaps(polls []time.Time, from time.Time) (all []time.Duration) {
	for n := 1; n < len(polls); n++ {
		if !polls[n-1].Before(from) {
			all = append(all, polls[n].Sub(polls[n-1]))
		}
	}
	return all
}

func TestPace(t *testing.T) {
	const interval = bound / 3
	for _, tt := range []struct {
		name        string
		delay       time.Duration
		err         error
		least, most time.Duration // between the starts of polls, once it has settled
	}{
		{name: "well", least: interval * 3 / 4, most: interval},
		{name: "slow answers", delay: 200 * time.Millisecond, least: interval * 3 / 4, most: interval},
		{name: "answers slower than the interval", delay: 500 * time.Millisecond, least: 500*time.Millisecond + interval/4, most: 500*time.Millisecond + interval/4},
		{name: "failing", err: errors.New("refused"), least: time.Second, most: 2 * time.Second},
		{name: "hanging", delay: time.Hour, least: 11 * time.Second, most: 12 * time.Second},
		{name: "Retry-After", err: refusal{status: 503, after: 7 * time.Second}, least: 7 * time.Second, most: 7*time.Second + interval},
		{name: "Retry-After that is too long", err: refusal{status: 503, after: time.Hour}, least: 30 * time.Second, most: 30*time.Second + interval},
		{name: "401", err: refusal{status: 401}, least: 15 * time.Second, most: 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := &issuer{delay: tt.delay}
			i.answers(of("5", 3, true, 0), of("5", 3, false, 0))
			if tt.err != nil {
				i.fails(tt.err)
			}
			follow(t, i, func(t *testing.T, _ *revocation.Follower) {
				began := time.Now()
				time.Sleep(10 * time.Minute)
				all := gaps(i.seen().polls, began.Add(2*time.Minute))
				if len(all) < 10 || slices.Min(all) < tt.least || slices.Max(all) > tt.most {
					t.Errorf("%d polls, %v to %v apart", len(all), slices.Min(all), slices.Max(all))
				}
				if tt.name == "well" && slices.Min(all) == slices.Max(all) {
					t.Error("no jitter")
				}
			})
		})
	}
	t.Run("begins to fail, again and again", func(t *testing.T) {
		i := new(issuer)
		i.fails(errors.New("refused"))
		follow(t, i, func(t *testing.T, _ *revocation.Follower) {
			for range 3 {
				i.fails(errors.New("refused"))
				failed := time.Now()
				time.Sleep(10 * time.Second)
				if first := gaps(i.seen().polls, failed)[0]; first > interval || first < interval/2 {
					t.Errorf("the second attempt comes after %v", first)
				}
				i.answers(of("5", 3, true, 0))
				time.Sleep(10 * time.Second)
			}
		})
	})
}

func TestReady(t *testing.T) {
	t.Run("waits for the first poll", func(t *testing.T) {
		i := &issuer{delay: time.Second}
		i.answers(of("5", 3, true, 0))
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			began := time.Now()
			if err := f.Ready(t.Context()); err != nil || time.Since(began) != time.Second || f.Version() == 0 {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
	t.Run("tells why there is nothing", func(t *testing.T) {
		i := new(issuer)
		i.fails(refusal{status: 401})
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			if err := f.Ready(t.Context()); !errors.As(err, new(refusal)) || !strings.HasPrefix(err.Error(), "poll the revocation feed: ") {
				t.Error(err)
			}
			i.answers(of("5", 3, true, 0))
			time.Sleep(30 * time.Second)
			if err := f.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("for as long as its context", func(t *testing.T) {
		i := &issuer{delay: time.Hour}
		i.answers("")
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := f.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	})
	t.Run("ends with Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{delay: time.Hour}
			i.answers("")
			f := revocation.New(i.config())
			run(t, f, func() {})
			if err := f.Ready(t.Context()); err == nil {
				t.Error("ready without a snapshot")
			}
		})
	})
}
