package jwks_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

func TestHeldKeysAskNobody(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.begin()
		for range 1000 {
			w.must("a")
		}
		if n := w.server.count(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestRefreshAhead(t *testing.T) {
	for _, tt := range []struct {
		name            string
		maxAge          time.Duration
		least, greatest time.Duration
	}{
		{"10 minutes", 10 * time.Minute, 7 * time.Minute, 8*time.Minute + 30*time.Second},
		{"not said", 0, 3*time.Minute + 30*time.Second, 4*time.Minute + 15*time.Second},
		{"a second", time.Second, 10 * time.Second, 10 * time.Second},
		{"negative", -time.Hour, 10 * time.Second, 10 * time.Second},
		{"a day", 24 * time.Hour, 49 * time.Minute, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, jwks.Config{}, func(w *world) {
				w.server.maxAge = tt.maxAge
				w.begin()
				time.Sleep(20 * tt.greatest)
				spread := map[time.Duration]bool{}
				for _, pause := range w.server.pauses() {
					if pause < tt.least || pause > tt.greatest {
						t.Errorf("after %v", pause)
					}
					spread[pause] = true
				}
				if tt.least < tt.greatest && len(spread) < 10 {
					t.Errorf("no jitter: %v", spread)
				}
			})
		})
	}
}

func TestS13UnknownKey(t *testing.T) {
	inBubble(t, jwks.Config{CoolDown: 10 * time.Second}, func(w *world) {
		w.begin()
		time.Sleep(time.Minute)
		before := w.server.count()
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				if _, err := w.key(strings.Repeat("x", i+1)); !errors.Is(err, jwks.ErrUnknownKey) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if n := w.server.count() - before; n != 1 {
			t.Errorf("attack 33: %d fetches for 1000 at once", n)
		}
		for range 1000 {
			w.refused("y", jwks.ErrUnknownKey)
			time.Sleep(9 * time.Millisecond)
		}
		if n := w.server.count() - before; n != 1 {
			t.Errorf("attack 33: %d fetches within the cool-down", n)
		}
		for range 100 * 10 { // 100 s
			_, err := w.key("y")
			if !errors.Is(err, jwks.ErrUnknownKey) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.server.count() - before; n < 9 || n > 11 {
			t.Errorf("attack 33: %d fetches in 110 s", n)
		}
	})
}

// A key was compromised: its successor signs at once, and the first server that is asked does not publish it yet.
func TestExpectedKeyIsFoundSoon(t *testing.T) {
	inBubble(t, jwks.Config{CoolDown: 10 * time.Second}, func(w *world) {
		ask := func(kid string, want error) {
			if _, err := w.key(kid); !errors.Is(err, want) {
				t.Errorf("key %s: %v, want %v", kid, err, want)
			}
		}
		w.begin()
		time.Sleep(time.Minute)
		w.cache.Expect()
		ask("b", jwks.ErrUnknownKey)
		w.server.publish("b")
		time.Sleep(500 * time.Millisecond)
		ask("b", nil)

		before := w.server.count()
		for range 1000 { // 20 s
			ask("y", jwks.ErrUnknownKey)
			time.Sleep(20 * time.Millisecond)
		}
		if n := w.server.count() - before; n < 15 || n > 21 {
			t.Errorf("attack 33: %d fetches in 20 s, want two a second for 10 s", n)
		}
	})
}

func TestAttack4KeyIDIsOnlyCompared(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.begin()
		for _, kid := range []string{"../../dev/null", "' OR 1=1 --", "a\x00", "A", " a", "a ", strings.Repeat("a", 4000)} {
			w.refused(kid, jwks.ErrUnknownKey)
		}
	})
}

func TestNewKeyIsFound(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.begin()
		before := w.must("a")
		time.Sleep(time.Minute)
		w.server.publish("a", "b")
		began := time.Now()
		w.must("b")
		if took := time.Since(began); took != w.server.latency {
			t.Errorf("found after %v", took)
		}
		if w.must("a") != before {
			t.Error("a key that stayed is another now")
		}
		if n := w.server.count(); n != 2 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestS14Outage(t *testing.T) {
	inBubble(t, jwks.Config{HardMaxAge: 24 * time.Hour}, func(w *world) {
		began := time.Now()
		w.begin()
		held := w.must("a")
		w.server.turn(true)
		for time.Since(began) < 24*time.Hour-time.Minute {
			if w.must("a") != held {
				t.Fatal("the key is another now")
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Until(began.Add(24*time.Hour - time.Millisecond)))
		w.must("a")
		time.Sleep(2 * time.Millisecond)
		if !held.Withdrawn() {
			t.Error("not withdrawn at the hard age")
		}
		if _, err := w.key("a"); !errors.Is(err, jwks.ErrUnavailable) || !errors.Is(err, errDown) {
			t.Errorf("beyond the hard age: %v", err)
		}
		if keys := w.cache.Describe().Keys; keys != nil {
			t.Errorf("still there: %v", keys)
		}
		w.server.turn(false)
		time.Sleep(2 * time.Minute)
		if again := w.must("a"); again == held || !held.Withdrawn() {
			t.Error("what was withdrawn came back")
		}
	})
}

func TestOutageIsNoStorm(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.server.turn(true)
		w.begin()
		time.Sleep(time.Hour)
		pauses := w.server.pauses()
		if pauses[0] < time.Second || pauses[0] > 1500*time.Millisecond || !slices.IsSorted(pauses[:5]) {
			t.Errorf("begins with %v", pauses[:6])
		}
		if least, most := slices.Min(pauses[8:]), slices.Max(pauses); least < 40*time.Second || most > time.Minute {
			t.Errorf("from %v to %v apart", least, most)
		}
		w.server.turn(false)
		time.Sleep(time.Minute)
		w.must("a")
		before := len(w.server.pauses()) // between one request more
		w.server.turn(true)
		time.Sleep(time.Hour)
		if second := w.server.pauses()[before+1:]; second[0] > 1500*time.Millisecond {
			t.Errorf("the next outage begins with %v", second[:6])
		}
	})
}

func TestUnknownKeyInAnOutage(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.begin()
		time.Sleep(time.Minute)
		w.server.turn(true)
		if _, err := w.key("b"); !errors.Is(err, jwks.ErrUnavailable) || !errors.Is(err, errDown) {
			t.Errorf("got %v", err)
		}
		w.refused("b", jwks.ErrUnavailable)
		w.must("a")
		w.server.publish("a", "b")
		w.server.turn(false)
		time.Sleep(5 * time.Second) // a retry after a failure does not wait for the next refresh
		w.must("b")
	})
}

func TestWithdrawn(t *testing.T) {
	for _, tt := range []struct {
		name      string
		published []string
		err       error
	}{
		{"dropped", []string{"b"}, jwks.ErrUnknownKey},
		{"another key under its id", []string{"a=2"}, nil},
		{"an empty set", nil, jwks.ErrUnknownKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, jwks.Config{}, func(w *world) {
				w.begin()
				held := w.must("a")
				w.server.publish(tt.published...)
				time.Sleep(9 * time.Minute)
				if !held.Withdrawn() {
					t.Error("not withdrawn")
				}
				now, err := w.key("a")
				if !errors.Is(err, tt.err) || now == held {
					t.Errorf("got %v, the same %v", err, now == held)
				}
				if n := w.cache.Describe().Withdrawn; n != 1 {
					t.Errorf("%d withdrawn", n)
				}
			})
		})
	}
}

func TestAttack32MalformedAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"HTML":           `<html>Sign in to the airport's network</html>`,
		"another object": `{"error":"server_error"}`,
		"nothing":        ``,
		"cut off":        keySet("b")[:50],
		"duplicate":      `{"keys":[],"keys":[]}`,
		"too long":       keySet("b") + strings.Repeat(" ", jose.MaxKeySet),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, jwks.Config{}, func(w *world) {
				w.begin()
				held := w.must("a")
				w.server.answer(body)
				time.Sleep(time.Hour)
				if w.must("a") != held {
					t.Error("the key is another now")
				}
				if _, err := w.key("b"); !errors.Is(err, jwks.ErrUnavailable) || !errors.Is(err, jose.ErrKeySet) {
					t.Errorf("got %v", err)
				}
				if state := w.cache.Describe(); state.Failures == 0 || state.LastError == "" {
					t.Errorf("got %+v", state)
				}
			})
		})
	}
}

func TestCallersLeaveWithoutTheFetch(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.server.latency = 10 * time.Second
		go w.cache.Run(w.ctx)
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(w.ctx, time.Duration(i+1)*time.Second)
				defer cancel()
				began := time.Now()
				_, err := w.cache.Key(ctx, "a", jose.EdDSA)
				if i == 9 {
					return // leaves as the answer comes: either is right
				}
				if !errors.Is(err, jwks.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != time.Duration(i+1)*time.Second {
					t.Errorf("left after %v", took)
				}
			})
		}
		w.must("a")
		all.Wait()
		if w.server.cutOff() != 0 || w.server.count() != 1 {
			t.Errorf("%d fetches, %d cut off", w.server.count(), w.server.cutOff())
		}
	})
}

func TestHungServer(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.server.latency = time.Hour
		go w.cache.Run(w.ctx)
		began := time.Now()
		if _, err := w.key("a"); !errors.Is(err, jwks.ErrUnavailable) || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestAlgorithmAndOnlyKey(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.begin()
		before := w.server.count()
		if held, err := w.cache.Key(w.ctx, "", jose.Ed25519); err != nil || held.ID() != "a" {
			t.Errorf("the only key: %v", err)
		}
		if _, err := w.cache.Key(w.ctx, "a", jose.ES256); !errors.Is(err, jwks.ErrUnknownKey) {
			t.Errorf("not for this algorithm: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := w.cache.Key(w.ctx, "a", jose.ES256); !errors.Is(err, jwks.ErrUnknownKey) || w.server.count() != before {
			t.Errorf("not for this algorithm: %v, %d fetches", err, w.server.count()-before)
		}
		if _, err := w.cache.Key(w.ctx, "", jose.ES256); !errors.Is(err, jwks.ErrUnknownKey) || w.server.count() != before+1 {
			t.Errorf("none for this algorithm: %v, %d fetches", err, w.server.count()-before)
		}
		w.server.publish("a", "b")
		time.Sleep(9 * time.Minute)
		before = w.server.count()
		if _, err := w.cache.Key(w.ctx, "", jose.EdDSA); !errors.Is(err, jwks.ErrUnknownKey) || w.server.count() != before {
			t.Errorf("two for this algorithm: %v, %d fetches", err, w.server.count()-before)
		}
	})
}

func TestChanged(t *testing.T) {
	var seen []string
	inBubble(t, jwks.Config{Changed: func(body []byte) { seen = append(seen, string(body)) }}, func(w *world) {
		w.begin()
		time.Sleep(time.Hour)
		w.server.publish("a", "b")
		time.Sleep(time.Hour)
	})
	if want := []string{keySet("a"), keySet("a", "b")}; !slices.Equal(seen, want) {
		t.Errorf("got %q", seen)
	}
}

func TestRestore(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		fetched := time.Now()
		time.Sleep(23 * time.Hour)
		if err := w.cache.Restore([]byte(keySet("a")), fetched); err != nil {
			t.Fatal(err)
		}
		held := w.must("a")
		w.server.turn(true)
		w.begin()
		w.must("a")
		if _, err := w.key("b"); !errors.Is(err, jwks.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if state := w.cache.Describe(); !state.Fetched.Equal(fetched) {
			t.Errorf("fetched %v", state.Fetched)
		}
		time.Sleep(time.Hour)
		if !held.Withdrawn() {
			t.Error("not withdrawn at the hard age")
		}
	})
}

func TestRestoreThenFetch(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		fetched := time.Now()
		time.Sleep(time.Hour)
		if err := w.cache.Restore([]byte(keySet("a", "old")), fetched); err != nil {
			t.Fatal(err)
		}
		a, old := w.must("a"), w.must("old")
		w.begin()
		if w.must("a") != a || !old.Withdrawn() || w.server.count() != 1 {
			t.Errorf("the key is the same: %v; the old one is withdrawn: %v", w.must("a") == a, old.Withdrawn())
		}
		time.Sleep(23*time.Hour + time.Minute)
		w.must("a") // by its own age, not that of the restored set
	})
}

func TestRestoreRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		age        time.Duration
	}{
		{"too old", keySet("a"), 24 * time.Hour},
		{"from the future", keySet("a"), -time.Minute},
		{"malformed", `{}`, time.Minute},
		{"empty", ``, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache := jwks.New(jwks.Config{})
			if err := cache.Restore([]byte(tt.body), time.Now().Add(-tt.age)); err == nil || cache.Describe().Keys != nil {
				t.Errorf("got %v, %v", err, cache.Describe().Keys)
			}
		})
	}
}

func TestRunEnds(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		w.server.latency = time.Minute
		ctx, cancel := context.WithCancel(w.ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.cache.Run(ctx)
		}()
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		if _, err := w.key("a"); !errors.Is(err, jwks.ErrUnavailable) {
			t.Errorf("who waits: %v", err)
		}
		<-ended
		w.refused("a", jwks.ErrUnavailable)
		if w.server.count() != 1 {
			t.Errorf("%d fetches", w.server.count())
		}
	})
}

func TestNoKeyIsHeldAfterRun(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		ctx, cancel := context.WithCancel(w.ctx)
		go w.cache.Run(ctx)
		time.Sleep(time.Second)
		held := w.must("a")
		cancel()
		synctest.Wait()
		if !held.Withdrawn() {
			t.Error("not withdrawn")
		}
		w.refused("a", jwks.ErrUnavailable)
		time.Sleep(48 * time.Hour)
		w.refused("a", jwks.ErrUnavailable)
		if w.server.count() != 1 {
			t.Errorf("%d fetches", w.server.count())
		}
	})
}

func TestBeforeRun(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		found := make(chan error)
		go func() {
			_, err := w.key("a")
			found <- err
		}()
		time.Sleep(time.Minute)
		if w.server.count() != 0 {
			t.Error("fetched before Run")
		}
		go w.cache.Run(w.ctx)
		if err := <-found; err != nil || w.server.count() != 1 {
			t.Errorf("%v, %d fetches", err, w.server.count())
		}
		time.Sleep(time.Minute)
		if w.server.count() != 1 {
			t.Errorf("%d fetches", w.server.count())
		}
	})
}

func TestDescribe(t *testing.T) {
	inBubble(t, jwks.Config{}, func(w *world) {
		began := time.Now()
		w.begin()
		w.must("a")
		w.refused("b", jwks.ErrUnknownKey)
		state := w.cache.Describe()
		if !state.Fetched.Equal(began) || state.Fetches != 1 || state.Misses != 1 || state.Failures != 0 || state.LastError != "" {
			t.Errorf("got %+v", state)
		}
		if next := state.Next.Sub(began); next < 7*time.Minute || next > 9*time.Minute {
			t.Errorf("next after %v", next)
		}
		if len(state.Keys) != 1 || state.Keys[0].ID != "a" || !slices.Equal(state.Keys[0].Algorithms, []jose.Algorithm{jose.EdDSA, jose.Ed25519}) {
			t.Errorf("got %+v", state.Keys)
		}
		if _, err := json.Marshal(state); err != nil {
			t.Error(err)
		}
	})
}
