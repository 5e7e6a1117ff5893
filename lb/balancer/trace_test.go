package balancer_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/trace"
)

// collect has everything that the test starts export its spans.
func collect(t *testing.T) *trace.Collector {
	t.Helper()
	spans := trace.NewCollector()
	server := httptest.NewServer(trace.Receiver(spans, "test"))
	t.Cleanup(server.Close)
	for _, entry := range trace.Environ(nil, server.URL, "test", "lb-1") {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	return spans
}

// A request that is to be recorded has a span that says where it went, and the upstream's hangs below it. Others pass as they are.
func TestTraceGoesOn(t *testing.T) {
	spans := collect(t)
	parents := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { parents <- r.Header.Get("Traceparent") }))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	r := run(t, `listeners:
  - {name: quiet, address: "127.0.0.1:0", pool: first}
  - {name: logged, address: "127.0.0.1:0", pool: first, access_log: true}
pools:
`+pool("first", address))
	const id, asked = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, listener := range []string{"quiet", "logged"} {
		for given, want := range map[string]string{"": "", "00-" + id + "-" + asked + "-00": "00-" + id + "-"} {
			if _, _, err := fetch(r.url(listener)+"/unseen", header("Traceparent", given)); err != nil {
				t.Fatal(err)
			}
			if got := <-parents; got != want && (want == "" || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "-00")) {
				t.Errorf("%s: %q became %q", listener, given, got)
			}
		}
	}
	for n, listener := range []string{"quiet", "logged"} {
		if _, _, err := fetch(r.url(listener)+"/seen?key=planted", header("Traceparent", "00-"+id+"-"+asked+"-01")); err != nil {
			t.Fatal(err)
		}
		parent := <-parents
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		traceID, _ := oteltrace.TraceIDFromHex(id)
		all := trace.Spans(spans.Trace(ctx, traceID, n))
		if len(all) != n+1 {
			t.Fatalf("%d spans, want %d", len(all), n+1)
		}
		span := all[n]
		if span.Parent != asked || parent != "00-"+id+"-"+span.ID+"-01" || span.Service != "countersign-lb" || span.Instance != "lb-1" || span.Kind != "server" {
			t.Errorf("%s: the upstream got %s from %+v", listener, parent, span)
		}
		for key, want := range map[string]string{
			"countersign.listener": listener, "countersign.pool": "first", "countersign.upstream": "http://" + address, "countersign.attempts": "1",
			"url.path": "/seen", "http.response.status_code": "200",
		} {
			if got := span.Attributes[key]; got != want {
				t.Errorf("%s: %s is %q, want %q", listener, key, got, want)
			}
		}
		for key, value := range span.Attributes {
			if strings.Contains(value, "planted") {
				t.Errorf("%s: %s has the query", listener, key)
			}
		}
	}
}

// header is one header, or none if it has no value.
func header(name, value string) http.Header {
	if value == "" {
		return nil
	}
	return http.Header{name: {value}}
}
