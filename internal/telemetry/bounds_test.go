package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/telemetry"
)

// What a stranger sends makes no span large.
func TestSpansAreBounded(t *testing.T) {
	received := make(chan []byte, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- body
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	tracing, err := telemetry.StartTracing(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}, "service", "v0")
	if err != nil {
		t.Fatal(err)
	}
	for members, kept := range map[int]int{2: 2, 32: 0} {
		var state []string
		for i := range members {
			state = append(state, "k"+strconv.Itoa(i)+"="+strings.Repeat("v", 200))
		}
		r := httptest.NewRequest(http.MethodGet, "/"+strings.Repeat("p", 8<<10), nil)
		r.Header.Set("User-Agent", strings.Repeat("u", 8<<10))
		r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		r.Header.Set("Tracestate", strings.Join(state, ","))
		tracing.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if n := trace.SpanContextFromContext(r.Context()).TraceState().Len(); n != kept {
				t.Errorf("%d of %d members of tracestate are kept, want %d", n, members, kept)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if body := <-received; !strings.Contains(string(body), "uuuu") || len(body) > 8<<10 {
		t.Errorf("two spans are %d bytes long", len(body))
	}
}
