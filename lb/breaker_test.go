package lb_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/lb"
)

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := newPool(t, lb.PoolConfig{
			Targets: []lb.Target{{URL: "a:1"}, {URL: "b:1"}},
			Breaker: &lb.Breaker{FailurePercent: 50, Requests: 10, Window: 10 * time.Second, Delay: 5 * time.Second},
		})
		picked := func() (n int) {
			for range 10 {
				if pool.Pick("").Address() == "http://a:1" {
					n++
				}
			}
			return n
		}
		expect := func(when, state string, picks int) {
			t.Helper()
			if s := pool.Upstreams()[0]; s.Breaker != state || picked() != picks {
				t.Errorf("%s: %s, picked %d of 10 times; want %s and %d", when, s.Breaker, picked(), state, picks)
			}
		}
		try := func(times int, well, sent bool) {
			t.Helper()
			for range times {
				if got := pool.Try(0, well); got != sent {
					t.Errorf("sent: %v, want %v", got, sent)
				}
			}
		}
		try(9, false, true)
		expect("too few requests to tell", "closed", 5)
		time.Sleep(time.Minute)
		try(6, true, true)
		try(5, false, true)
		expect("less than half fail", "closed", 5)
		try(1, false, true)
		expect("half of them fail", "open", 0)
		try(1, true, false)
		time.Sleep(5*time.Second - 1)
		expect("just before the end of the delay", "open", 0)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expect("when some may try", "open", 5)
		try(2, true, true)
		try(1, false, true)
		expect("one of the trials fails", "open", 0)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !pool.Abandon(0) {
			t.Error("nobody may try")
		}
		expect("a trial is abandoned", "open", 0)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		try(3, true, true)
		expect("three trials succeed", "closed", 5)
		if s := pool.Upstreams()[1]; s.Breaker != "closed" {
			t.Errorf("the other: %s", s.Breaker)
		}
	})
}

func TestOpenBreakerSparesTheUpstream(t *testing.T) {
	const requests = 10
	bad := startAnswering(t, http.StatusInternalServerError)
	registry := prometheus.NewPedanticRegistry()
	pools := newPools(t, lb.PoolsConfig{Registerer: registry})
	prepared := prepare(t, pools, fmt.Sprintf(
		`pools: {p: {targets: [{url: %q}], health: {disabled: true}, breaker: {requests: %d, delay: 90s}}}`, bad.addr, requests))
	prepared.Commit()
	tr := prepared.Transports["p"]
	for range requests {
		if status, _, err := tryTransport(t, tr, http.MethodGet, nil); status != http.StatusInternalServerError {
			t.Fatal(status, err)
		}
	}
	_, _, err := tryTransport(t, tr, http.MethodGet, nil)
	if !errors.Is(err, lb.ErrOpen) {
		t.Fatal(err)
	}
	if n := bad.arrivals.Load(); n != requests {
		t.Errorf("%d arrivals", n)
	}
	if status, _, retry, gone := lb.Classify(err); status != http.StatusServiceUnavailable || retry < 80*time.Second || retry > 90*time.Second || gone {
		t.Errorf("%d, try again in %v", status, retry)
	}
	front, err := lb.New(lb.Config{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	front.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	name := "{pool=p upstream=http://" + bad.addr + "}"
	if all := figures(t, registry); all["breaker_open"+name] != 1 || all["upstream_up"+name] != 0 {
		t.Errorf("%v", all)
	}
	if n := tr.Pool().Upstreams()[0].InFlight; n != 0 {
		t.Errorf("%d requests in flight", n)
	}
}

// A working upstream takes over what the breaker keeps from another; nobody notices.
func TestOpenBreakerSendsRequestsToOthers(t *testing.T) {
	good := startUpstream(t, nil)
	pool := newPool(t, lb.PoolConfig{Breaker: &lb.Breaker{Requests: 1, Delay: time.Nanosecond}}, deadAddr(t), good.addr)
	f := startFront(t, lb.TransportConfig{Pool: pool})
	for range 20 { // the delay is over at once, so that there are trials, and they fail
		if resp, _ := f.do(t, http.MethodPost, "/", nil, nil); resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}

func BenchmarkBreaker(b *testing.B) {
	pool := newPool(b, lb.PoolConfig{Breaker: &lb.Breaker{}}, "a:1")
	none := newPool(b, lb.PoolConfig{}, "a:1")
	for name, pool := range map[string]*lb.Pool{"with": pool, "without": none} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					pool.Try(0, true)
				}
			})
		})
	}
}
