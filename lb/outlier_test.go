package lb_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/lb"
)

// ejected shows each upstream: E if it is ejected, . if not.
func ejected(p *lb.Pool) string {
	var b strings.Builder
	for _, u := range p.Upstreams() {
		if u.Ejected {
			b.WriteByte('E')
		} else {
			b.WriteByte('.')
		}
	}
	return b.String()
}

func TestOutlierIsEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := newPool(t, lb.PoolConfig{
			Targets: []lb.Target{{URL: "a:1"}, {URL: "b:1"}, {URL: "c:1"}, {URL: "d:1"}},
			Outlier: lb.Outlier{Failures: 3, For: 10 * time.Second, Longest: 30 * time.Second},
		})
		fail := func(i, times int) {
			for range times {
				pool.Answered(i, false)
			}
		}
		expect := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := ejected(pool); got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		fail(0, 2)
		pool.Answered(0, true)
		fail(0, 2)
		expect("failures that are not in a row", "....")
		fail(0, 1)
		expect("three in a row", "E...")
		time.Sleep(10*time.Second - 1)
		expect("just before the end of its time", "E...")
		time.Sleep(time.Nanosecond)
		expect("after it", "....")

		fail(0, 3)
		time.Sleep(20*time.Second - 1)
		expect("the second time is twice as long", "E...")
		time.Sleep(time.Nanosecond)
		expect("after that", "....")
		fail(0, 3)
		time.Sleep(30*time.Second - 1)
		expect("the third time is no longer than the longest", "E...")
		time.Sleep(31 * time.Second)
		fail(0, 3)
		time.Sleep(10 * time.Second)
		expect("after a long good time it begins anew", "....")

		fail(0, 3)
		fail(1, 3)
		fail(2, 30)
		expect("no more than half at once", "EE..")
		time.Sleep(time.Minute)
	})
}

func TestOutlierIsOffUnlessAskedFor(t *testing.T) {
	pool := newPool(t, lb.PoolConfig{Targets: []lb.Target{{URL: "a:1"}, {URL: "b:1"}}})
	for range 1000 {
		pool.Answered(0, false)
	}
	if got := ejected(pool); got != ".." {
		t.Error(got)
	}
}

// One of two upstreams answers 500 to everything and breaks no connection, so neither health checks nor repeats would help.
func TestOutlierGetsNoMoreRequests(t *testing.T) {
	const failures, requests = 5, 100
	var broken atomic.Int64
	bad := startUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		broken.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})
	good := startUpstream(t, nil)
	pool := newPool(t, lb.PoolConfig{
		Targets: []lb.Target{{URL: bad.addr}, {URL: good.addr}}, Outlier: lb.Outlier{Failures: failures, For: time.Hour, Longest: time.Hour},
	})
	transport, err := lb.NewTransport(lb.TransportConfig{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	for range requests {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pool/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	if got := broken.Load(); got != failures {
		t.Errorf("the upstream that fails got %d of %d requests, want %d", got, requests, failures)
	}
}
