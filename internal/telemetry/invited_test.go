package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/telemetry"
)

// Where only requests are recorded that ask for it, one without a trace context costs nothing, and one that does not ask is not recorded.
func TestOnlyTheInvitedAreLookedAt(t *testing.T) {
	environ := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_TRACES_SAMPLER=parentbased_always_off"}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	tracing, err := telemetry.StartTracing(t.Context(), environ, "part", "v0")
	if err != nil {
		t.Fatal(err)
	}
	const id = "0af7651916cd43dd8448eb211c80319c"
	for given, want := range map[string]struct{ known, recorded bool }{
		"":                                  {false, false},
		"00-" + id + "-b7ad6b7169203331-00": {true, false},
		"00-" + id + "-b7ad6b7169203331-01": {true, true},
	} {
		handler := tracing.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			span := trace.SpanFromContext(r.Context())
			if known := span.SpanContext().TraceID().String() == id; known != want.known || span.IsRecording() != want.recorded {
				t.Errorf("%q: known %v, recorded %v", given, known, span.IsRecording())
			}
			if _, ok := tracing.Parent(r.Context()); ok != want.known {
				t.Errorf("%q: there is a parent: %v", given, ok)
			}
		}))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if given != "" {
			r.Header.Set("Traceparent", given)
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	handler := tracing.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { tracing.Parent(r.Context()) }))
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	if n := testing.AllocsPerRun(100, func() { handler.ServeHTTP(w, r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
