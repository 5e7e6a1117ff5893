package lb_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/lb"
)

// An upstream that comes back gets a share that grows with time, and its whole share in the end.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := newPool(t, lb.PoolConfig{
			Targets: []lb.Target{{URL: "back:1"}, {URL: "there:1"}}, SlowStart: time.Minute,
			Outlier: lb.Outlier{Failures: 1, For: time.Second},
		})
		share := func() float64 {
			const picks = 10000
			n := 0
			for range picks {
				if pool.Pick("").Address() == "http://back:1" {
					n++
				}
			}
			return float64(n) / picks
		}
		if got := share(); got != 0.5 {
			t.Errorf("from the start: %.2f", got)
		}
		pool.Answered(0, false)
		if got := share(); got != 0 {
			t.Errorf("ejected: %.2f", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		last := time.Duration(0)
		for _, tt := range []struct {
			after    time.Duration
			min, max float64
		}{
			{0, 0.001, 0.03},
			{15 * time.Second, 0.10, 0.16}, // a quarter of the turns that are its own
			{30 * time.Second, 0.22, 0.28},
			{45 * time.Second, 0.34, 0.41},
			{time.Minute, 0.5, 0.5},
		} {
			time.Sleep(tt.after - last)
			last = tt.after
			if got := share(); got < tt.min || got > tt.max {
				t.Errorf("%v after it came back: %.3f, want %.3f to %.3f", tt.after, got, tt.min, tt.max)
			}
		}
	})
}
