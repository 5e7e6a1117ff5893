package refresh_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever the issuer does and whoever asks: no call fails while a value is valid, none gets one that is over, and requests come one at
// a time.
func TestSource_AnyHistory(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0)) // a history that can be repeated
			i := &issuer{lifetime: time.Minute}
			s := i.source(t)
			until := time.Now().Add(20 * time.Minute)
			ctx, stop := context.WithCancel(t.Context())
			var callers sync.WaitGroup
			for range 20 {
				callers.Go(func() {
					for ctx.Err() == nil {
						ask(t, i, s)
						time.Sleep(500 * time.Millisecond)
					}
				})
			}
			for time.Now().Before(until) {
				i.set(func(i *issuer) {
					i.fails = []error{nil, nil, errDown, errBusy, errRefused}[random.IntN(5)]
					i.takes = time.Duration(random.IntN(8000)) * time.Millisecond
					i.lifetime = time.Duration(10+random.IntN(100)) * time.Second
					i.retry = time.Duration(random.IntN(20)) * time.Second
				})
				time.Sleep(time.Duration(random.IntN(60)) * time.Second)
			}
			stop()
			callers.Wait()
		})
	}
}

func ask(t *testing.T, i *issuer, s source) {
	expires := s.Describe().Expires
	began := time.Now()
	v, err := s.Value(t.Context())
	waited := time.Since(began)
	switch {
	case err != nil && began.Before(expires):
		t.Errorf("%v while a value is valid for another %v", err, time.Until(expires))
	case err != nil && waited > 10*time.Second:
		t.Errorf("waited %v", waited)
	case err == nil && waited == 0 && time.Now().After(v.expires):
		t.Errorf("value %d is over since %v", v.n, time.Since(v.expires))
	case err == nil && v.n%7 == 0: // the resource does not like these
		if other, err := s.Replace(t.Context(), v); err == nil && other == v {
			t.Errorf("refused value %d was not replaced", v.n)
		}
	}
	if i.overlaps() {
		t.Error("two requests at a time")
	}
}
