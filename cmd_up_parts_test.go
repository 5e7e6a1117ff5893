package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/lb/balancer"
	"github.com/countersign/countersign/server/instance"
)

// poolOf returns the pool behind a listener of the load balancer of `up`.
func poolOf(t *testing.T, name string) lb.PoolSettings {
	t.Helper()
	text, err := json.Marshal(balancerDocument(up.DefaultPorts(), instance.DefaultSettings()))
	if err != nil {
		t.Fatal(err)
	}
	var d balancer.Document
	if _, err := document.Decode("up", text, &d); err != nil {
		t.Fatal(err)
	}
	for _, listener := range d.Listeners {
		if listener.Name == name {
			return d.Pools[listener.Pool]
		}
	}
	t.Fatalf("there is no listener %s", name)
	return lb.PoolSettings{}
}

// A server that breaks down with a request in its hands may have carried it out. At the issuer that does no harm, so another server is
// asked. An administrator is told instead, unless to do it twice is to do it once.
func TestWhichRequestsAreRepeated(t *testing.T) {
	for _, tt := range []struct {
		listener, method string
		repeated         bool
	}{
		{"issuer", http.MethodPost, true},
		{"admin", http.MethodPost, false},
		{"admin", http.MethodPatch, false},
		{"admin", http.MethodGet, true},
		{"admin", http.MethodPut, true},
		{"admin", http.MethodDelete, true},
	} {
		t.Run(tt.listener+" "+tt.method, func(t *testing.T) {
			var asked, answered atomic.Int64
			breaks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				asked.Add(1)
				panic(http.ErrAbortHandler)
			}))
			defer breaks.Close()
			answers := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered.Add(1) }))
			defer answers.Close()
			pool := poolOf(t, tt.listener)
			pool.Targets = []lb.TargetSettings{{URL: breaks.URL}, {URL: answers.URL}}
			pools := lb.NewPools(lb.PoolsConfig{})
			defer pools.Close()
			prepared, err := pools.Prepare(map[string]lb.PoolSettings{"pool": pool}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer prepared.Discard()
			handler, err := lb.New(lb.Config{Transport: prepared.Transports["pool"]})
			if err != nil {
				t.Fatal(err)
			}
			for asked.Load() == 0 { // until the one that breaks has its turn
				answered.Store(0)
				request := httptest.NewRequestWithContext(t.Context(), tt.method, "/admin/v1/clients", strings.NewReader("{}"))
				request.Header.Set("Idempotency-Key", "0123456789abcdef")
				handler.ServeHTTP(httptest.NewRecorder(), request)
			}
			if got := answered.Load() == 1; asked.Load() != 1 || got != tt.repeated {
				t.Errorf("asked once and %d times more, repeated: %t, want %t", asked.Load()-1, got, tt.repeated)
			}
		})
	}
}
