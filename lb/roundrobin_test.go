package lb_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/countersign/countersign/lb"
)

func TestRoundRobinIsEvenUnderConcurrency(t *testing.T) {
	const upstreams, workers, each = 4, 50, 40
	var fleet []*upstream
	var addrs []string
	for range upstreams {
		u := startUpstream(t, nil)
		fleet, addrs = append(fleet, u), append(addrs, u.addr)
	}
	f := startFront(t, lb.TransportConfig{}, addrs...)
	var load sync.WaitGroup
	for range workers {
		load.Go(func() {
			for range each {
				resp, _, err := f.try(t.Context(), http.MethodGet, "/", nil, nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("request: %v, %v", resp, err)
				}
			}
		})
	}
	load.Wait()
	const share = workers * each / upstreams
	for i, u := range fleet {
		if n := u.arrivals.Load(); n < share*98/100 || n > share*102/100 {
			t.Errorf("upstream %d got %d requests, want %d within 2%%", i, n, share)
		}
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	from := []*lb.Upstream{new(lb.Upstream), new(lb.Upstream), new(lb.Upstream)}
	var policy lb.RoundRobin
	for i := range 9 {
		if got := policy.Pick("", from); got != from[i%3] {
			t.Errorf("pick %d is not upstream %d", i, i%3)
		}
	}
}
