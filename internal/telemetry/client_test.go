package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/telemetry"
)

func TestTransportOff(t *testing.T) {
	tracing := new(telemetry.Tracing)
	if got := tracing.Transport(http.DefaultTransport); got != http.DefaultTransport {
		t.Error("tracing that is off wraps the transport")
	}
	if _, span := tracing.Provider().Tracer("test").Start(t.Context(), "unseen"); span.IsRecording() || span.SpanContext().IsValid() {
		t.Error("tracing that is off begins a trace")
	}
}

func TestTransport(t *testing.T) {
	received := make(chan []byte, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- body
	}))
	defer collector.Close()
	parents := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		parents <- r.Header.Get("Traceparent") + "?" + r.URL.RawQuery
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	tracing, err := telemetry.StartTracing(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}, "service", "v0")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: tracing.Transport(http.DefaultTransport)}
	call := func(r *http.Request) string {
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return <-parents
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/seen?key=planted", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := call(r); got != "?key=planted" {
		t.Errorf("a request of no trace came with %q", got)
	}
	ctx, span := tracing.Provider().Tracer("test").Start(t.Context(), "outer")
	id := span.SpanContext()
	if got := call(r.WithContext(ctx)); !strings.HasPrefix(got, "00-"+id.TraceID().String()+"-") ||
		strings.Contains(got, id.SpanID().String()) || !strings.HasSuffix(got, "?key=planted") {
		t.Errorf("a request of the trace %s came with %q", id.TraceID(), got)
	}
	span.End()
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := string(<-received)
	if strings.Contains(body, "planted") {
		t.Error("the query string reached the trace")
	}
	traceID := id.TraceID()
	if n := strings.Count(body, string(traceID[:])); n != 2 || !strings.Contains(body, server.URL+"/seen") {
		t.Errorf("%d spans of the trace", n)
	}
}
