package sdk_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

func TestTransport_Redirects(t *testing.T) {
	for _, tt := range []struct {
		name   string
		from   string
		to     []string
		tokens []bool // of the requests that follow the first
	}{
		{"within the origin", "https://a.test/1", []string{"https://a.test/2", "/3"}, []bool{true, true}},
		{"the usual port, the host in capitals", "https://a.test/1", []string{"https://A.test:443/2"}, []bool{true}},
		{"another host", "https://a.test/1", []string{"https://b.test/2"}, []bool{false}},
		{"a host beneath", "https://a.test/1", []string{"https://evil.a.test/2"}, []bool{false}},
		{"another port", "https://a.test/1", []string{"https://a.test:8443/2"}, []bool{false}},
		{"without TLS", "https://a.test/1", []string{"http://a.test/2"}, []bool{false}},
		{"there and on", "https://a.test/1", []string{"https://b.test/2", "https://b.test/3"}, []bool{false, false}},
		{"there and back", "https://a.test/1", []string{"https://b.test/2", "https://a.test/3"}, []bool{false, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service := &resource{answer: func(n int, _ *http.Request) *http.Response {
				if n <= len(tt.to) {
					return reply(302, "Location", tt.to[n-1])
				}
				return reply(200)
			}}
			client := &http.Client{Transport: newClient(t, sdktest.New(), nil).Transport(service, warehouse)}
			resp, err := client.Get(tt.from)
			if err != nil || resp.StatusCode != 200 || len(service.requests) != len(tt.to)+1 {
				t.Fatalf("%v, %v after %d requests", resp, err, len(service.requests))
			}
			for n, want := range append([]bool{true}, tt.tokens...) {
				r := service.requests[n]
				if got := strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "); got != want {
					t.Errorf("request %d to %s has a token: %v, want %v", n+1, r.URL, got, want)
				}
			}
		})
	}
}

func TestTransport_RedirectFromNobodyKnowsWhere(t *testing.T) {
	service := &resource{}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", warehouse, nil)
	r.Response = &http.Response{StatusCode: 302}
	if _, err := newClient(t, sdktest.New(), nil).Transport(service, warehouse).RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	if service.requests[0].Header.Get("Authorization") != "" {
		t.Error("the token was sent")
	}
}
