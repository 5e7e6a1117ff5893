package revocation_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// TestModel follows a world of instances that lag and answers that are held back, cut off and lost, and asks all the time: is refused
// whatever was heard of, is below the cursor, or was revoked before the time that is vouched for; and nothing else.
func TestModel(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(seed)
				f := revocation.New(revocation.Config{Bound: bound, Poll: w.poll, Stream: w.stream})
				w.follower = f
				ctx, cancel := context.WithCancel(t.Context())
				var group sync.WaitGroup
				group.Go(func() { w.revoke(ctx) })
				for _, i := range w.instances {
					group.Go(func() { w.follow(ctx, i) })
				}
				group.Go(func() { f.Run(ctx) })
				c := &checker{world: w, f: f}
				c.check(t, time.Minute)
				w.lose()
				c.check(t, 10*time.Second) // longer than an answer is held back
				before := w.current
				w.restore()
				c.check(t, time.Minute)
				if s := f.Describe(); s.Generation != "7" || c.fresh < c.checks/20 || s.Events == 0 || c.refused == 0 {
					t.Errorf("%d of %d checks with a lease, %d refused: %+v", c.fresh, c.checks, c.refused, s)
				}
				for _, old := range before.log {
					if !f.Refuses(&revocation.Subject{TokenID: old.Token, Revision: old.Sequence}) {
						t.Errorf("what was issued before the restored database began is not refused: %v", old)
					}
				}
				cancel()
				group.Wait()
			})
		})
	}
}

type checker struct {
	world                  *world
	f                      *revocation.Follower
	checks, fresh, refused int
	over                   bool // to the second generation
}

func (c *checker) check(t *testing.T, lasting time.Duration) {
	t.Helper()
	for end := time.Now().Add(lasting); time.Now().Before(end); time.Sleep(37 * time.Millisecond) {
		synctest.Wait()
		c.once(t, time.Now())
	}
}

func (c *checker) once(t *testing.T, now time.Time) {
	t.Helper()
	fresh := c.f.Lease(now)
	age, good := c.f.Good(now)
	at := c.f.Describe()
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if c.checks++; fresh {
		c.fresh++
	}
	same := at.Generation == c.world.current.generation
	if c.over && !same {
		t.Fatalf("back to generation %s", at.Generation)
	}
	c.over = at.Generation == "7"
	for _, e := range c.world.current.log {
		known := same && (!e.delivered.IsZero() && e.delivered.Before(now) || e.Sequence <= at.Sequence)
		vouched := fresh && !e.committed.After(now.Add(-bound)) || good && e.committed.Before(now.Add(-age))
		if !c.refuses(e, e.Sequence-1) && (known || vouched) {
			t.Fatalf("%+v is not refused: known %v, vouched for %v; %+v", e, known, vouched, at)
		}
		if e.Kind == "token" && same && c.refuses(e, e.Sequence) {
			t.Fatalf("%+v is refused by its revision", e)
		}
	}
}

func (c *checker) refuses(e *change, revision uint64) bool {
	refused := c.f.Refuses(&revocation.Subject{TokenID: e.Token, ClientID: e.Client, Revision: revision})
	if refused {
		c.refused++
	}
	return refused
}
