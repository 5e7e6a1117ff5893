package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/memory"
)

func TestPollAndAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var delay atomic.Int64
		slow := &tampered{Store: w.store, before: func(context.Context) error {
			time.Sleep(time.Duration(delay.Load()))
			return nil
		}}
		d := w.followed(memory.Config{Store: slow})
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if n := slow.views.Load(); n != 1+40 {
			t.Errorf("%d reads in 10 s", n)
		}
		delay.Store(int64(600 * time.Millisecond))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if age := d.Age(); age < 600*time.Millisecond || age > 1200*time.Millisecond {
			t.Errorf("age %v: it counts from the start of a read that took 600 ms", age)
		}
	})
}

func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(context.Context) error
		wait   time.Duration // until an answer, at most
	}{
		{"refused", func(context.Context) error { return fault.New(fault.Unavailable, "refused") }, 0},
		{"hung", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				store := &tampered{Store: w.store}
				var down atomic.Bool
				store.before = func(ctx context.Context) error {
					if down.Load() {
						return tt.before(ctx)
					}
					return nil
				}
				d := w.followed(memory.Config{Store: store})
				sequence := w.write(auth.Change{Kind: auth.RevokeAll})
				down.Store(true)
				began := time.Now()
				if err := d.Reach(t.Context(), sequence); !errors.Is(err, fault.Unavailable) {
					t.Errorf("Reach: %v", err)
				}
				if took := time.Since(began); took > tt.wait {
					t.Errorf("Reach took %v", took)
				}
				time.Sleep(time.Second + time.Millisecond)
				for i := range 30 { // the rate is spent, and still nothing is vouched for
					if err := d.CatchUp(t.Context()); !errors.Is(err, fault.Unavailable) {
						t.Errorf("CatchUp %d: %v", i, err)
					}
				}
				if d.Sequence() >= sequence || d.Age() <= time.Second || d.Ready() != nil {
					t.Errorf("sequence %d, age %v, ready %v", d.Sequence(), d.Age(), d.Ready())
				}
				down.Store(false)
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if d.Sequence() != sequence || d.Age() > memory.DefaultPoll {
					t.Errorf("afterwards: sequence %d, age %v", d.Sequence(), d.Age())
				}
			})
		})
	}
}

func TestCatchUpIsRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := &tampered{Store: w.store}
		d := w.followed(memory.Config{Store: store, Poll: time.Hour, Staleness: time.Hour})
		before := store.views.Load()
		for range 100 {
			w.must(d.CatchUp(t.Context()))
		}
		if n := store.views.Load() - before; n != 5 {
			t.Errorf("%d reads at once", n)
		}
		time.Sleep(time.Second)
		c := w.client("new")
		w.must(d.CatchUp(t.Context()))
		if d.Client(c.ID) == nil {
			t.Error("a read within the rate did not happen")
		}
	})
}

// Who asks while a read is under way needs the next one: the first may have begun before the commit. All who ask share it.
func TestReachJoinsTheNextRead(t *testing.T) {
	w := newWorld(t)
	store := &tampered{Store: w.store}
	d := w.followed(memory.Config{Store: store, Poll: time.Hour})
	reading, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	inner := store.Store
	store.Store = afterwards{inner, func() { // the snapshot is taken, its reader held up
		first.Do(func() { close(reading); <-goOn })
	}}
	d.Hint()
	<-reading
	before := store.views.Load()
	sequence := w.write(auth.Change{Kind: auth.RevokeAll})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := d.Reach(t.Context(), sequence); err != nil || d.Sequence() < sequence || !d.Denied(&auth.Token{}) {
				t.Errorf("reached %d: %v", d.Sequence(), err)
			}
		})
	}
	close(goOn)
	all.Wait()
	if n := store.views.Load() - before; n > 3 {
		t.Errorf("%d reads for 50 callers", n)
	}
}

// afterwards calls hook after each read, before its reader goes on.
type afterwards struct {
	auth.Store
	hook func()
}

func (s afterwards) View(ctx context.Context, read func(auth.Tx) error) error {
	err := s.Store.View(ctx, read)
	s.hook()
	return err
}

// A sequence stands for everything up to it: whoever sees it sees the client, the denial, and what the observers made.
func TestSequenceIsPublishedLast(t *testing.T) {
	w := newWorld(t)
	var told atomic.Int64
	observe := func([]*auth.Key) error { told.Add(1); return nil }
	d := w.followed(memory.Config{Poll: time.Millisecond, OnKeys: observe})
	type step struct {
		sequence uint64
		client   auth.ClientID
		told     int64
	}
	var newest atomic.Pointer[step]
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := newest.Load()
				if s == nil || d.Sequence() < s.sequence {
					runtime.Gosched()
					continue
				}
				if d.Client(s.client) == nil || !d.Denied(&auth.Token{Client: s.client}) || told.Load() < s.told {
					t.Errorf("sequence %d is published before what it stands for", s.sequence)
					return
				}
			}
		})
	}
	for i := range int64(30) {
		c := w.client(fmt.Sprint("c", i))
		sequence := w.write(auth.Change{Kind: auth.RevokeClient, Subject: c.ID}, auth.Change{Kind: auth.KeysChanged})
		newest.Store(&step{sequence, c.ID, i + 2}) // the first was at Load
		w.must(d.Reach(t.Context(), sequence))
	}
	close(done)
	readers.Wait()
}

func TestObserverThatFailsHoldsTheSequence(t *testing.T) {
	for _, kind := range []auth.ChangeKind{auth.KeysChanged, auth.SealedKeyChanged} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var broken atomic.Bool
			var seen atomic.Uint64
			var told atomic.Pointer[memory.Directory]
			observer := func() error {
				if broken.Load() {
					return errors.New("cannot unseal")
				}
				if d := told.Load(); d != nil {
					seen.Store(d.Sequence())
				}
				return nil
			}
			d := w.followed(memory.Config{
				OnKeys:       func([]*auth.Key) error { return observer() },
				OnSealedKeys: func([]*auth.SealedKey) error { return observer() },
			})
			told.Store(d)
			before := d.Sequence()
			broken.Store(true)
			c := w.client("c")
			sequence := w.write(auth.Change{Kind: kind})
			if err := d.Reach(t.Context(), sequence); !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "cannot unseal") {
				t.Errorf("Reach: %v", err)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if d.Sequence() != before || d.Age() < 2*time.Second || d.Client(c.ID) != nil {
				t.Errorf("sequence %d, age %v", d.Sequence(), d.Age())
			}
			broken.Store(false)
			time.Sleep(time.Second)
			synctest.Wait()
			if d.Sequence() != sequence || d.Client(c.ID) == nil || seen.Load() != before {
				t.Errorf("sequence %d, the observer saw %d", d.Sequence(), seen.Load())
			}
		})
	}
}

func TestAnotherDatabaseFailsForGood(t *testing.T) {
	for _, tt := range []struct {
		name     string
		position func(auth.Position) auth.Position
	}{
		{"new generation", func(p auth.Position) auth.Position { p.Generation++; return p }},
		{"gone back", func(p auth.Position) auth.Position { p.Sequence--; return p }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.client("c")
			store := &tampered{Store: w.store}
			var other atomic.Bool
			store.position = func(p auth.Position) auth.Position {
				if other.Load() {
					return tt.position(p)
				}
				return p
			}
			d := w.followed(memory.Config{Store: store, Poll: time.Hour})
			news := d.Watch()
			other.Store(true)
			if err := d.CatchUp(t.Context()); !errors.Is(err, fault.Unavailable) {
				t.Errorf("CatchUp: %v", err)
			}
			<-news
			other.Store(false) // it does not recover
			if err := d.CatchUp(t.Context()); !errors.Is(err, fault.Unavailable) {
				t.Errorf("second CatchUp: %v", err)
			}
			if err := d.Reach(t.Context(), 1); !errors.Is(err, fault.Unavailable) {
				t.Errorf("Reach: %v", err)
			}
			if d.Age() != math.MaxInt64 || !errors.Is(d.Ready(), fault.Unavailable) {
				t.Errorf("age %v, ready %v", d.Age(), d.Ready())
			}
		})
	}
}

func TestReloadWhenFarBehind(t *testing.T) {
	for _, tt := range []struct {
		name     string
		changes  int
		tamper   func(auth.Position) auth.Position
		reloaded float64
	}{
		{"a few clients", 10, nil, 1},
		{"more clients than are read one by one", 1001, nil, 2},
		{"below the floor", 10, func(p auth.Position) auth.Position { p.Floor = p.Sequence - 1; return p }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			registry := prometheus.NewRegistry()
			store := &tampered{Store: w.store}
			d := w.loaded(memory.Config{Store: store, Poll: time.Hour, Registerer: registry})
			store.position = tt.tamper
			run(t, d)
			var changes []auth.Change
			for i := range tt.changes {
				changes = append(changes, auth.Change{Kind: auth.ClientChanged, Subject: [16]byte{1, 14: byte(i >> 8), 15: byte(i)}})
			}
			c := w.client("c")
			sequence := w.write(append(changes, auth.Change{Kind: auth.RevokeClient, Subject: c.ID})...)
			w.must(d.Reach(t.Context(), sequence))
			if d.Client(c.ID) == nil || !d.Denied(&auth.Token{Client: c.ID}) || d.Sequence() != sequence {
				t.Error("not current")
			}
			if got := counter(t, registry, "reloaded"); got != tt.reloaded {
				t.Errorf("loaded %v times", got)
			}
		})
	}
}

func counter(t *testing.T, registry *prometheus.Registry, outcome string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "countersign_change_log_reads_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric, of %d", testutil.CollectAndCount(registry))
	return 0
}

// The revocation of one token is needed no longer than the token could live.
func TestRevokedTokensAreForgottenWithTheirBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := w.followed(memory.Config{Poll: time.Minute})
		short := auth.Token{ID: auth.NewTokenID(time.Now(), time.Now().Add(time.Hour))}
		long := auth.Token{ID: auth.NewTokenID(time.Now(), time.Now().Add(12*time.Hour))}
		w.must(d.Reach(t.Context(), w.write(
			auth.Change{Kind: auth.RevokeToken, Subject: short.ID}, auth.Change{Kind: auth.RevokeToken, Subject: long.ID})))
		time.Sleep(time.Hour)
		if !d.Denied(&short) || !d.Denied(&long) {
			t.Error("forgot a revocation at the end of its token's life, which other clocks may not have reached")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got, _ := d.Revocations(0); len(got) != 1 || d.Denied(&short) || !d.Denied(&long) {
			t.Errorf("remembers %v", got)
		}
	})
}

func TestRevocationsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		subject := [16]byte{1}
		d := w.followed(memory.Config{Poll: time.Hour})
		w.write(auth.Change{Kind: auth.RevokeClient, Subject: subject}, auth.Change{Kind: auth.RevokeToken, Subject: subject})
		time.Sleep(auth.RevocationLife - 30*time.Minute)
		last := w.write(auth.Change{Kind: auth.RevokeToken, Subject: subject})
		w.must(d.Reach(t.Context(), last))
		if got, at := d.Revocations(0); len(got) != 3 || at.Floor != 0 {
			t.Errorf("%d before, floor %d", len(got), at.Floor)
		}
		time.Sleep(2 * time.Hour) // and a poll
		synctest.Wait()
		got, at := d.Revocations(0)
		if len(got) != 1 || got[0].Sequence != last || at.Floor != 0 {
			t.Errorf("%v, floor %d", got, at.Floor)
		}
		if d.Denied(&auth.Token{Client: subject}) || !d.Denied(&auth.Token{ID: subject, Revision: last - 1}) {
			t.Error("forgot the wrong ones")
		}
	})
}

func TestUnknownRevocationHoldsTheSequence(t *testing.T) {
	w := newWorld(t)
	d := w.followed(memory.Config{Poll: time.Hour})
	before := d.Sequence()
	sequence := w.write(auth.Change{Kind: auth.RevokeAll + 1})
	if err := d.Reach(t.Context(), sequence); !errors.Is(err, fault.Unavailable) || d.Sequence() != before {
		t.Errorf("sequence %d: %v", d.Sequence(), err)
	}
}

func TestNothingWaitsForAStoppedDirectory(t *testing.T) {
	w := newWorld(t)
	d := w.loaded(memory.Config{})
	run(t, d)()
	if err := d.CatchUp(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("CatchUp: %v", err)
	}
	if err := d.Reach(t.Context(), math.MaxUint64); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Reach: %v", err)
	}
}
