package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/trace"
	"github.com/countersign/countersign/sdk/sdktest"
)

// collect has everything that the test starts export its spans.
func collect(t *testing.T) *trace.Collector {
	t.Helper()
	spans := trace.NewCollector()
	server := httptest.NewServer(trace.Receiver(spans, "test"))
	t.Cleanup(server.Close)
	for _, entry := range trace.Environ(nil, server.URL, "test", "gateway-1") {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	return spans
}

// spansOf returns the spans of a trace by name once there are that many.
func spansOf(t *testing.T, from *trace.Collector, id string, n int) map[string]trace.Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	traceID, err := oteltrace.TraceIDFromHex(id)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]trace.Span{}
	for _, s := range trace.Spans(from.Trace(ctx, traceID, n-1)) {
		byName[s.Name] = s
	}
	if len(byName) != n {
		t.Fatalf("the spans are %v, want %d", slices.Collect(maps.Keys(byName)), n)
	}
	return byName
}

// The span of a request says what was decided, by whose word and where the request went; what the verifier asks the issuer is below.
func TestTrace(t *testing.T) {
	spans := collect(t)
	issuer := sdktest.Start(t)
	var seen atomic.Int64
	upstream := named("one", &seen)
	t.Cleanup(upstream.Close)
	p := run(t, fmt.Sprintf("issuers: {main: {url: %s, client_id: %s, client_secret: %s}}\npools: {p: {targets: [{url: %q}], health: {disabled: true}}}\n"+
		"routes:\n  - {name: closed, match: {prefix: /}, authentication: introspect, audience: %q, pool: p}\n"+
		"  - {name: open, match: {prefix: /open}, authentication: none, pool: p}", issuer.URL(), issuer.ClientID(), issuer.ClientSecret(), upstream.URL, api))
	good := issuer.MintOpaque(sdktest.Claims{ClientID: "cl_a", Audience: []string{api}})
	const parent = "b7ad6b7169203331"
	for n, tt := range []struct {
		name, path, token string
		status            int
		want              map[string]string
		asked             bool
	}{
		{
			"first", "/items", good, 200, map[string]string{
				"countersign.route": "closed", "countersign.verdict": "accepted", "countersign.verified_by": "introspection", "countersign.client_id": "cl_a",
				"countersign.upstream": upstream.URL, "countersign.attempts": "1",
			}, true,
		},
		{"known", "/items", good, 200, map[string]string{"countersign.verdict": "accepted", "countersign.verified_by": "memory"}, false},
		{"refused", "/items", "", 401, map[string]string{"countersign.verdict": "no_token", "countersign.upstream": ""}, false},
		{"open", "/open?key=planted", "", 200, map[string]string{"countersign.route": "open", "countersign.verdict": "open", "countersign.verified_by": ""}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := fmt.Sprintf("%032x", n+1)
			header := http.Header{"Traceparent": {"00-" + id + "-" + parent + "-01"}}
			if tt.token != "" {
				header.Set("Authorization", "Bearer "+tt.token)
			}
			status, text, err := fetch(p.url+tt.path, header)
			if err != nil || status != tt.status {
				t.Fatalf("%d %s, %v", status, text, err)
			}
			want := 1
			if tt.asked {
				want = 3
			}
			all := spansOf(t, spans, id, want)
			var span trace.Span
			for _, s := range all {
				if s.Kind == "server" {
					span = s
				}
			}
			if span.Parent != parent || span.Service != "countersign-gateway" || span.Instance != "gateway-1" {
				t.Errorf("the request's span is %+v", span)
			}
			for key, value := range tt.want {
				if got := span.Attributes[key]; got != value {
					t.Errorf("%s is %q, want %q", key, got, value)
				}
			}
			for _, s := range all {
				for key, value := range s.Attributes {
					if strings.Contains(value, "planted") || strings.Contains(value, good) {
						t.Errorf("%s: %s holds what it must not", s.Name, key)
					}
				}
			}
			if tt.asked {
				if all["countersign.introspect"].Parent != span.ID || all["POST"].Parent != all["countersign.introspect"].ID {
					t.Errorf("the issuer's part does not hang below: %+v", all)
				}
			}
		})
	}
}
