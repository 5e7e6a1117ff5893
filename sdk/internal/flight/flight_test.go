package flight_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/flight"
)

// sleeper returns a call that takes d, unless its context ends sooner, and counts the calls.
func sleeper(calls *atomic.Int64, d time.Duration) flight.Call[int64] {
	return func(ctx context.Context) (int64, error) {
		n := calls.Add(1)
		select {
		case <-time.After(d):
			return n, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func TestCallersShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int64](time.Minute)
		defer g.Close()
		var calls atomic.Int64
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				if n, err := g.Do(t.Context(), "a", flight.AnyAge, sleeper(&calls, time.Second)); n != 1 || err != nil {
					t.Errorf("got %d, %v, want the result of the first call", n, err)
				}
			})
		}
		wg.Wait()
		if n, _ := g.Do(t.Context(), "a", flight.AnyAge, sleeper(&calls, 0)); n != 2 {
			t.Errorf("after the flight: call %d, want a second one", n)
		}
		if n, _ := g.Do(t.Context(), "b", flight.AnyAge, sleeper(&calls, 0)); n != 3 {
			t.Errorf("another key: call %d, want one of its own", n)
		}
	})
}

func TestWhoGivesUpLeavesAloneAndTheCallGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int64](time.Minute)
		defer g.Close()
		var calls atomic.Int64
		hasty, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("in a hurry"))
		defer cancel()
		began := time.Now()
		patient := make(chan error)
		go func() {
			time.Sleep(500 * time.Millisecond)
			_, err := g.Do(t.Context(), "a", flight.AnyAge, sleeper(&calls, 0))
			patient <- err
		}()
		if _, err := g.Do(hasty, "a", flight.AnyAge, sleeper(&calls, 10*time.Second)); err == nil || err.Error() != "in a hurry" {
			t.Errorf("got %v, want the cause of the caller's context", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("left after %v, want 1s", d)
		}
		if err := <-patient; err != nil || calls.Load() != 1 || time.Since(began) != 10*time.Second {
			t.Errorf("the other caller got %v after %v and %d calls, want the first call's result after 10s", err, time.Since(began), calls.Load())
		}
		if _, err := g.Do(hasty, "b", flight.AnyAge, sleeper(&calls, 0)); err == nil || calls.Load() != 1 {
			t.Error("a caller whose time is over began a call")
		}
	})
}

// A call that is too old to be joined is left to those who wait for it.
func TestOnlyYoungCallsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int64](time.Minute)
		defer g.Close()
		var calls atomic.Int64
		var wg sync.WaitGroup
		for _, tt := range []struct {
			after time.Duration
			young time.Duration
			want  int64
		}{
			{after: 0, young: time.Second, want: 1},
			{after: time.Second, young: time.Second, want: 1},
			{after: time.Second + 1, young: time.Second, want: 2},
			{after: time.Second + 2, young: time.Second, want: 2},
			{after: 5 * time.Second, young: flight.AnyAge, want: 2},
			{after: 12 * time.Second, young: flight.AnyAge, want: 3},
		} {
			wg.Go(func() {
				time.Sleep(tt.after)
				if n, err := g.Do(t.Context(), "a", tt.young, sleeper(&calls, 10*time.Second)); n != tt.want || err != nil {
					t.Errorf("after %v: call %d, %v, want call %d", tt.after, n, err, tt.want)
				}
			})
		}
		wg.Wait()
	})
}

func TestStartDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int64](time.Minute)
		defer g.Close()
		var calls atomic.Int64
		began := time.Now()
		for range 3 {
			if err := g.Start(t.Context(), "a", flight.AnyAge, sleeper(&calls, time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(began) != 0 {
			t.Errorf("waited %v", time.Since(began))
		}
		if n, err := g.Do(t.Context(), "a", flight.AnyAge, sleeper(&calls, 0)); n != 1 || err != nil {
			t.Errorf("got %d, %v, want the result of the started call", n, err)
		}
	})
}

func TestEndsOfACall(t *testing.T) {
	type traced struct{}
	refusal := errors.New("no")
	for _, tt := range []struct {
		name string
		call flight.Call[int64]
		want string
	}{
		{name: "an error", want: "no", call: func(context.Context) (int64, error) { return 0, refusal }},
		{name: "the limit", want: "context deadline exceeded: it took too long: more than 1m0s", call: func(ctx context.Context) (int64, error) {
			<-ctx.Done()
			return 0, fmt.Errorf("%w: %w", ctx.Err(), context.Cause(ctx))
		}},
		{name: "a panic", want: "panic: ouch", call: func(context.Context) (int64, error) { panic("ouch") }},
		{name: "the end of its goroutine", want: "the call came to no end", call: func(context.Context) (int64, error) {
			runtime.Goexit()
			return 0, nil
		}},
		{name: "values of the caller's context", want: "seen", call: func(ctx context.Context) (int64, error) {
			text, _ := ctx.Value(traced{}).(string)
			return 0, errors.New(text)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := flight.New[string, int64](time.Minute)
				defer g.Close()
				ctx := context.WithValue(t.Context(), traced{}, "seen")
				if _, err := g.Do(ctx, "a", flight.AnyAge, tt.call); err == nil || err.Error() != tt.want {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				var calls atomic.Int64
				if n, err := g.Do(ctx, "a", flight.AnyAge, sleeper(&calls, 0)); n != 1 || err != nil {
					t.Errorf("afterwards: %d, %v, want a call of its own", n, err)
				}
			})
		})
	}
}

// Close waits for calls that take their time to be cancelled, those that nobody may join any more too.
func TestCloseCancelsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int64](time.Minute)
		var ended atomic.Int64
		slow := func(ctx context.Context) (int64, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended.Add(1)
			return 0, ctx.Err()
		}
		waited := make(chan error, 1)
		go func() {
			_, err := g.Do(t.Context(), "a", 0, slow)
			waited <- err
		}()
		time.Sleep(time.Second)
		if err := g.Start(t.Context(), "a", 0, slow); err != nil {
			t.Fatal(err)
		}
		g.Close()
		if ended.Load() != 2 {
			t.Errorf("%d calls have ended, want 2", ended.Load())
		}
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller got %v", err)
		}
		if _, err := g.Do(t.Context(), "b", 0, slow); !errors.Is(err, flight.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		g.Close()
	})
}

// A call can tell whether one that began later has found what counts more.
func TestOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, bool](time.Minute)
		defer g.Close()
		var wg sync.WaitGroup
		do := func(key string, d time.Duration, counts, want bool) {
			wg.Go(func() {
				got, err := g.Do(t.Context(), key, 0, func(ctx context.Context) (bool, error) {
					time.Sleep(d)
					if counts {
						flight.Overtake(ctx)
					}
					return flight.Overtaken(ctx), nil
				})
				if got != want || err != nil {
					t.Errorf("%s, %s: %v, %v, want %v", key, d, got, err, want)
				}
			})
			time.Sleep(time.Second)
		}
		do("a", 10*time.Second, true, true) // by the third
		do("a", 2*time.Second, true, false)
		do("a", 3*time.Second, true, false)
		do("a", time.Second/2, false, false)
		do("b", 5*time.Second, true, false)
		wg.Wait()
		do("a", 2*time.Second, false, false)
		do("a", 5*time.Second, true, false)
		wg.Wait()
		flight.Overtake(t.Context())
		if flight.Overtaken(t.Context()) {
			t.Error("what is no call was overtaken")
		}
	})
}

// Once a later call has begun nobody joins an earlier one, though the later is over.
func TestNobodyJoinsWhatWasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.New[string, int64](time.Minute)
		defer g.Close()
		var calls atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = g.Do(t.Context(), "a", 0, sleeper(&calls, 10*time.Second)) })
		time.Sleep(time.Second)
		for want := int64(2); want < 4; want++ {
			if n, err := g.Do(t.Context(), "a", time.Duration(3-want), sleeper(&calls, time.Second)); n != want || err != nil {
				t.Errorf("call %d, %v, want %d", n, err, want)
			}
		}
		if n, _ := g.Do(t.Context(), "a", flight.AnyAge, sleeper(&calls, 0)); n != 4 {
			t.Errorf("call %d, want another", n)
		}
		wg.Wait()
	})
}
