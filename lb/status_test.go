package lb_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/lb"
)

// startAnswering answers everything by one status, and by that status as text.
func startAnswering(t *testing.T, status int) *upstream {
	t.Helper()
	return startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		fmt.Fprint(w, status)
	})
}

func TestRetryStatuses(t *testing.T) {
	long := strings.Repeat("x", lb.DefaultReplayBytes+1)
	retried := []int{502, 503}
	for _, tt := range []struct {
		name     string
		method   string
		body     string
		how      lb.Overrides
		statuses []int // of the upstreams, 0: nothing listens there
		want     int
		arrivals string
	}{
		{"not unless asked for", http.MethodGet, "", lb.Overrides{}, []int{503, 200}, 503, "1 0"},
		{"goes to another", http.MethodGet, "", lb.Overrides{RetryStatuses: retried}, []int{503, 200}, 200, "1 1"},
		{"with its body", http.MethodPut, "payload", lb.Overrides{RetryStatuses: retried}, []int{503, 200}, 200, "1 1"},
		{"another status", http.MethodGet, "", lb.Overrides{RetryStatuses: retried}, []int{500, 200}, 500, "1 0"},
		{"not what must not be repeated", http.MethodPost, "", lb.Overrides{RetryStatuses: retried}, []int{503, 200}, 503, "1 0"},
		{"unless told so", http.MethodPost, "", lb.Overrides{RetryStatuses: retried, RetryUnsafe: true}, []int{503, 200}, 200, "1 1"},
		{"not a body that is gone", http.MethodPut, long, lb.Overrides{RetryStatuses: retried}, []int{503, 200}, 503, "1 0"},
		{"the last answer counts", http.MethodGet, "", lb.Overrides{RetryStatuses: retried}, []int{503, 502}, 502, "1 1"},
		{"an answer is better than none", http.MethodGet, "", lb.Overrides{RetryStatuses: retried}, []int{503, 0}, 503, "1 0"},
		{"only so often", http.MethodGet, "", lb.Overrides{RetryStatuses: retried, Attempts: 1}, []int{503, 200, 502}, 502, "1 0 1"},
		{"not at all", http.MethodGet, "", lb.Overrides{RetryStatuses: retried, Attempts: -1}, []int{503, 200}, 503, "1 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var addrs []string
			var fleet []*upstream
			for _, status := range tt.statuses {
				u := &upstream{addr: deadAddr(t)}
				if status != 0 {
					u = startAnswering(t, status)
				}
				addrs, fleet = append(addrs, u.addr), append(fleet, u)
			}
			tr := newTransport(t, lb.TransportConfig{Pool: newPool(t, lb.PoolConfig{}, addrs...), Overrides: tt.how})
			status, text, err := tryTransport(t, tr, tt.method, strings.NewReader(tt.body))
			if err != nil || status != tt.want || text != fmt.Sprint(tt.want) {
				t.Errorf("status %d, %q, %v; want %d", status, text, err, tt.want)
			}
			var arrivals []string
			for i, u := range fleet {
				arrivals = append(arrivals, fmt.Sprint(u.arrivals.Load()))
				if n := tr.Pool().Upstreams()[i].InFlight; n != 0 {
					t.Errorf("%d requests in flight at upstream %d", n, i)
				}
			}
			if got := strings.Join(arrivals, " "); got != tt.arrivals {
				t.Errorf("arrivals %s, want %s", got, tt.arrivals)
			}
		})
	}
}

// Upstreams that are overloaded are not given more load than the budget says.
func TestRetryStatusesKeepToTheBudget(t *testing.T) {
	const requests, share, floor = 1000, 200, 100
	a, b := startAnswering(t, 503), startAnswering(t, 503)
	frozen := time.Unix(0, 0)
	tr := newTransport(t, lb.TransportConfig{
		Pool: newPool(t, lb.PoolConfig{}, a.addr, b.addr), Now: func() time.Time { return frozen },
		Overrides: lb.Overrides{RetryStatuses: []int{503}},
	})
	for range requests {
		if status, _, err := tryTransport(t, tr, http.MethodGet, nil); status != http.StatusServiceUnavailable {
			t.Fatal(status, err)
		}
	}
	if n := a.arrivals.Load() + b.arrivals.Load(); n != requests+share+floor {
		t.Errorf("%d arrivals of %d requests, want %d repeats", n, requests, share+floor)
	}
}
