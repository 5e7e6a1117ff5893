package refresh_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/refresh"
)

// The rows of PEERS.md, what other libraries do when it matters.
func TestPeers_EndpointFailsAfter100ms20Callers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: 100 * time.Millisecond, fails: errRefused}
		s := i.source(t)
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := s.Value(t.Context()); !errors.Is(err, errRefused) {
					t.Errorf("error %v, want the refusal", err)
				}
			})
		}
		all.Wait()
		within(t, "worst wait", time.Since(began), 100*time.Millisecond, 100*time.Millisecond)
		if n := i.requests(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestPeers_EndpointDownWhileValid(t *testing.T) {
	for _, tt := range []struct {
		name           string
		lifetime, left time.Duration
	}{
		{"x/oauth2: 9.5 s left", 60 * time.Second, 9500 * time.Millisecond},
		{"aws: 1.7 s left", 60 * time.Second, 1700 * time.Millisecond},
		{"all the stale time", 60 * time.Second, 18 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{lifetime: tt.lifetime}
				s := i.source(t)
				held := value(t, s)
				i.fail(errDown)
				time.Sleep(tt.lifetime - tt.left)
				for time.Until(i.times()[0].Add(tt.lifetime)) > 0 {
					if v := value(t, s); v != held {
						t.Fatalf("another value: %v", v)
					}
					time.Sleep(50 * time.Millisecond)
				}
				synctest.Wait()
				if _, err := s.Value(t.Context()); !errors.Is(err, errDown) {
					t.Fatalf("after its end: error %v, want the failure", err)
				}
			})
		})
	}
}

func TestPeers_ShortTokensAreCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: 200 * time.Second}
		s := i.source(t)
		for range 100 {
			value(t, s)
			time.Sleep(time.Second)
		}
		if n := i.requests(); n != 1 {
			t.Fatalf("%d requests in half a life, want 1", n)
		}
	})
}

func TestPeers_RetriesInsideTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: 100 * time.Second}
		s := i.source(t)
		value(t, s)
		i.fail(errDown)
		time.Sleep(80 * time.Second)
		value(t, s)
		synctest.Wait()
		i.fail(nil)
		time.Sleep(100 * time.Millisecond) // the first pause is at most this
		if v := value(t, s); v.n == 1 {
			t.Fatal("no retry after one failure")
		}
	})
}

func TestOutage_60sWith5MinutesOfLife(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin time.Duration // after the first token
	}{
		{"while fresh", 60 * time.Second},
		{"when it gets stale", 230 * time.Second},
		{"to the very end", 239 * time.Second},
		{"begins before and ends after the end", 290 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{takes: 5 * time.Millisecond, lifetime: 5 * time.Minute}
				s := i.source(t)
				value(t, s)
				var callers sync.WaitGroup
				ctx, stop := context.WithCancel(t.Context())
				for range 100 {
					callers.Go(func() {
						for ctx.Err() == nil {
							value(t, s)
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				time.Sleep(tt.begin)
				down := time.Now()
				i.fail(errDown)
				time.Sleep(60 * time.Second)
				up := time.Now()
				i.fail(nil)
				if n := i.requestsSince(down); n > 80 {
					t.Errorf("%d requests in an outage of 60 s", n)
				}
				time.Sleep(30 * time.Second)
				if n := i.requestsSince(up); n > 1 {
					t.Errorf("%d requests in 30 s after the outage, want 1: a storm", n)
				}
				stop()
				callers.Wait()
			})
		})
	}
}

func TestOutage_PaceOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: time.Hour}
		s := i.source(t)
		held := value(t, s)
		i.fail(errDown)
		time.Sleep(48 * time.Minute)
		began := time.Now()
		value(t, s)
		time.Sleep(10 * time.Minute)
		// Full jitter: pauses of 5 s on average.
		if n := i.requestsSince(began); n < 70 || n > 200 {
			t.Errorf("%d attempts in 10 minutes with a valid value", n)
		}
		if v := value(t, s); v != held {
			t.Fatal("a failure displaced a valid value")
		}
		time.Sleep(2*time.Minute + 30*time.Second)
		asked := i.requests()
		time.Sleep(10 * time.Minute)
		if n := i.requests() - asked; n > 0 {
			t.Errorf("%d attempts after its end with nobody waiting, want none", n)
		}
	})
}

func TestOutage_WaitersGetTheLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{fails: errDown}
		s := i.source(t)
		began := time.Now()
		_, err := s.Value(t.Context())
		within(t, "waited", time.Since(began), 10*time.Second, 10*time.Second)
		if !errors.Is(err, refresh.ErrMaxWait) || !errors.Is(err, errDown) {
			t.Errorf("error %v, want ErrMaxWait and the failure", err)
		}
		if n := i.requests(); n < 10 || n > 60 {
			t.Errorf("%d attempts in 10 s", n)
		}

		asked := i.requests()
		for range 1000 { // callers in a hurry do not undo the backoff
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if _, err := s.Value(ctx); err == nil {
				t.Error("a value from an issuer that is down")
			}
			cancel()
			time.Sleep(10 * time.Millisecond)
		}
		if n := i.requests() - asked; n > 90 {
			t.Errorf("%d attempts in 20 s for callers who leave after 10 ms", n)
		}
	})
}

func TestOutage_WaitersShortenTheLongPause(t *testing.T) {
	for range 20 { // the pause is random
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{lifetime: 10 * time.Minute}
			s := i.source(t)
			value(t, s)
			i.fail(errDown)
			time.Sleep(8 * time.Minute)
			value(t, s)
			time.Sleep(119*time.Second + 990*time.Millisecond)
			i.fail(nil)
			time.Sleep(10 * time.Millisecond)
			began := time.Now()
			value(t, s)
			within(t, "waited", time.Since(began), 0, time.Second)
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{fails: errBusy, retry: 5 * time.Second}
		s := i.source(t)
		_, err := s.Value(t.Context())
		if !errors.Is(err, errBusy) {
			t.Errorf("error %v, want the failure", err)
		}
		if len(i.times()) != 2 {
			t.Fatalf("%d attempts in 10 s, want 2", len(i.times()))
		}
		within(t, "second attempt", i.times()[1].Sub(i.times()[0]), 5*time.Second, 5*time.Second+500*time.Millisecond)
	})
}

func TestRetryAfter_SpreadsThoseWhoWereSentAwayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuers := make([]*issuer, 200)
		var callers sync.WaitGroup
		for n := range issuers {
			issuers[n] = &issuer{fails: errBusy, retry: 30 * time.Second}
			s := issuers[n].source(t)
			callers.Go(func() {
				for issuers[n].requests() < 2 {
					_, _ = s.Value(t.Context())
					time.Sleep(time.Second)
				}
			})
		}
		callers.Wait()
		first, last := time.Hour, time.Duration(0)
		for _, i := range issuers {
			away := i.times()[1].Sub(i.times()[0])
			first, last = min(first, away), max(last, away)
		}
		within(t, "first", first, 30*time.Second, 31*time.Second)
		within(t, "last", last, 32*time.Second, 33*time.Second)
	})
}

func TestRetryAfter_BeyondAllPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{fails: errBusy, retry: 24 * time.Hour}
		s := i.source(t)
		if _, err := s.Value(t.Context()); !errors.Is(err, errBusy) {
			t.Errorf("error %v, want the failure", err)
		}
		began := time.Now()
		if _, err := s.Value(t.Context()); !errors.Is(err, errBusy) {
			t.Errorf("error %v, want the failure", err)
		}
		within(t, "a wait that would be in vain", time.Since(began), 0, 0)
		i.fail(nil)
		time.Sleep(50*time.Second + 200*time.Millisecond)
		if value(t, s); i.requests() != 2 {
			t.Errorf("%d requests, want 2: no day is waited, but a minute", i.requests())
		}
	})
}

func TestPermanent_IsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{fails: errRefused}
		s := i.source(t)
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			if _, err := s.Value(t.Context()); !errors.Is(err, errRefused) {
				t.Fatalf("error %v, want the refusal", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		asked := i.times()
		for n, seconds := range []int{1, 2, 4, 8, 16, 30, 30, 30} {
			pause := time.Duration(seconds) * time.Second
			within(t, "pause", asked[n+1].Sub(asked[n]), pause, pause+50*time.Millisecond)
		}
		i.fail(nil) // the secret file was mended
		time.Sleep(30 * time.Second)
		value(t, s)
	})
}

func TestPermanent_IsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{fails: errRefused, lifetime: time.Hour}
		var log strings.Builder
		s := refresh.New(refresh.Config[token]{
			Fetch: i.fetch, Permanent: func(error) bool { return true }, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		defer s.Close()
		for _, fails := range []error{errRefused, errDown, nil, errRefused} { // all are permanent here
			i.fail(fails)
			for range 10 {
				time.Sleep(30 * time.Minute)
				_, _ = s.Value(t.Context())
				synctest.Wait()
			}
		}
		if refused, again := strings.Count(log.String(), "refused"), strings.Count(log.String(), "succeeds again"); refused != 3 || again != 1 {
			t.Errorf("logged %d and %d times: %s", refused, again, log.String())
		}
	})
}

func TestPermanent_WhileStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lifetime: 1000 * time.Second}
		s := i.source(t)
		held := value(t, s)
		i.fail(errRefused)
		time.Sleep(800 * time.Second)
		for time.Since(i.times()[0]) < 999*time.Second {
			if v := value(t, s); v != held {
				t.Fatal("a refusal displaced a valid value")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := i.requests(); n != 8 {
			t.Errorf("%d requests, want 8: one every 30 s", n)
		}
		asked := i.times()
		for n := 2; n < len(asked); n++ {
			within(t, "pause", asked[n].Sub(asked[n-1]), 30*time.Second, 30*time.Second+100*time.Millisecond)
		}
		i.fail(nil)
		time.Sleep(time.Minute)
		if v := value(t, s); v == held {
			t.Fatal("an expired value was served")
		}
	})
}
