package memory_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/memory"
)

// A read that is under way may have begun before the commit: whoever asks then needs the next one, and all who ask share it. However many
// did so a moment ago, nobody is answered from what is there already.
func TestRefreshSeesWhatIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := &tampered{Store: w.store}
		d := w.followed(memory.Config{Store: store, Poll: time.Hour})
		reading, goOn := make(chan struct{}), make(chan struct{})
		var first sync.Once
		store.Store = afterwards{store.Store, func() { // the snapshot is taken, its reader held up
			first.Do(func() { close(reading); <-goOn })
		}}
		d.Hint()
		<-reading
		before := store.views.Load()
		c := w.client("disabled a moment ago")
		w.write(auth.Change{Kind: auth.RevokeClient, Subject: c.ID})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := d.Refresh(t.Context()); err != nil || d.Client(c.ID) == nil || !d.Denied(&auth.Token{Client: c.ID}) {
					t.Errorf("refreshed to %d: %v", d.Sequence(), err)
				}
			})
		}
		synctest.Wait()
		close(goOn)
		all.Wait()
		if n := store.views.Load() - before; n != 1 {
			t.Errorf("%d reads for 50 callers at once", n)
		}
		for i := range 50 { // beyond the rate of CatchUp
			c := w.client("one more " + strconv.Itoa(i))
			w.must(d.Refresh(t.Context()))
			if d.Client(c.ID) == nil {
				t.Fatal("answered from what was there")
			}
		}
	})
}

func TestRefreshWithoutDatabase(t *testing.T) {
	w := newWorld(t)
	store := &tampered{Store: w.store}
	d := w.loaded(memory.Config{Store: store, Poll: time.Hour})
	var down atomic.Bool
	store.before = func(context.Context) error {
		if down.Load() {
			return errors.New("refused")
		}
		return nil
	}
	stop := run(t, d)
	w.must(d.Refresh(t.Context()))
	down.Store(true)
	if err := d.Refresh(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("without database: %v", err)
	}
	down.Store(false)
	w.must(d.Refresh(t.Context()))
	stop()
	if err := d.Refresh(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("stopped: %v", err)
	}
}
