package lb_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/lb"
)

// An upstream gets no more requests at once than it may. What is beyond that goes to others, and is refused when they are full too.
func TestRequestsInFlightAreBounded(t *testing.T) {
	arrived, release := make(chan string), make(chan struct{})
	slow := func(name string) *upstream {
		return startUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
			arrived <- name
			<-release
			w.WriteHeader(http.StatusNoContent)
		})
	}
	small, large := slow("small"), slow("large")
	pool, err := lb.NewPool(lb.PoolConfig{Targets: []lb.Target{{URL: small.addr, MaxRequests: 1}, {URL: large.addr, MaxRequests: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	transport, err := lb.NewTransport(lb.TransportConfig{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	send := func() (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pool/", http.NoBody)
		if err != nil {
			return nil, err
		}
		return transport.RoundTrip(request)
	}
	const room = 3
	statuses := make(chan int, room)
	counts := map[string]int{}
	for range room {
		go func() {
			response, err := send()
			if err != nil {
				statuses <- 0
				return
			}
			_ = response.Body.Close()
			statuses <- response.StatusCode
		}()
		counts[<-arrived]++
	}
	if counts["small"] != 1 || counts["large"] != 2 {
		t.Errorf("%v", counts)
	}
	if response, err := send(); !errors.Is(err, lb.ErrBusy) {
		t.Errorf("beyond the bounds: %v, %v", response, err)
	}
	front, err := lb.New(lb.Config{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	front.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" || !strings.Contains(recorder.Body.String(), "as many requests as they may") {
		t.Errorf("%d %v %s", recorder.Code, recorder.Header(), recorder.Body)
	}

	close(release)
	for range room {
		if status := <-statuses; status != http.StatusNoContent {
			t.Errorf("status %d", status)
		}
	}
	go func() { <-arrived }()
	response, err := send()
	if err != nil {
		t.Fatalf("when there is room again: %v", err)
	}
	_ = response.Body.Close()
	for _, u := range pool.Upstreams() {
		if u.InFlight != 0 {
			t.Errorf("%s still has %d requests in flight", u.Address, u.InFlight)
		}
	}
}
