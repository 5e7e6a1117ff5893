package lb_test

import (
	"net/http"
	"testing"

	"github.com/countersign/countersign/lb"
)

func TestDrain(t *testing.T) {
	a, b := startUpstream(t, nil), startUpstream(t, nil)
	f := startFront(t, lb.TransportConfig{}, a.addr, b.addr)
	send := func(n, want int) {
		t.Helper()
		for range n {
			if resp, _ := f.do(t, http.MethodGet, "/", nil, nil); resp.StatusCode != want {
				t.Errorf("status %d", resp.StatusCode)
			}
		}
	}
	if err := f.pool.Drain("http://" + a.addr); err != nil {
		t.Fatal(err)
	}
	send(4, http.StatusOK)
	if a.arrivals.Load() != 0 || b.arrivals.Load() != 4 || !f.pool.Upstreams()[0].Drained {
		t.Errorf("arrivals %d and %d; %+v", a.arrivals.Load(), b.arrivals.Load(), f.pool.Upstreams())
	}
	// Not even when no other is left.
	b.kill()
	send(2, http.StatusServiceUnavailable)
	if err := f.pool.Undrain("http://" + a.addr); err != nil {
		t.Fatal(err)
	}
	send(2, http.StatusOK)
	if err := f.pool.Drain("http://elsewhere:1"); err == nil {
		t.Error("an upstream that is not there was drained")
	}
}
