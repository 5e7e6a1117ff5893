package telemetry_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/telemetry"
)

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, "warn")
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("unseen")
	logger.Warn("seen", "forged", "line\nbreak \x1b[31m")
	if got := out.String(); strings.Contains(got, "unseen") || strings.Count(got, "\n") != 1 || strings.Contains(got, "\x1b") {
		t.Errorf("log is %q", got)
	}
	if _, err := telemetry.NewLogger(&out, "loud"); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Errorf("error %v does not name the level", err)
	}
}

func TestTracingOff(t *testing.T) {
	for _, environ := range [][]string{
		nil,
		{"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"},
		{"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"},
	} {
		tracing, err := telemetry.StartTracing(t.Context(), environ, "part", "v0")
		if err != nil || tracing.On() {
			t.Errorf("%v: on=%v, %v", environ, tracing.On(), err)
		}
		next := http.NewServeMux()
		if got := tracing.Middleware(next); got != http.Handler(next) {
			t.Error("tracing that is off wraps the handler")
		}
	}
}

func TestTracingRefused(t *testing.T) {
	for environ, want := range map[string]string{
		"OTEL_TRACES_EXPORTER=jaeger":                                "jaeger",
		"OTEL_TRACES_EXPORTER=otlp,OTEL_EXPORTER_OTLP_PROTOCOL=grpc": "grpc",
	} {
		_, err := telemetry.StartTracing(t.Context(), strings.Split(environ, ","), "part", "v0")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", environ, err)
		}
	}
}

func TestTracingExports(t *testing.T) {
	received := make(chan []byte, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- body
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	tracing, err := telemetry.StartTracing(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}, "auth", "v0")
	if err != nil {
		t.Fatal(err)
	}
	handler := tracing.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth2/token" {
			r.Pattern = "/oauth2/:which"
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	request := httptest.NewRequest(http.MethodPost, "/oauth2/token?secret=planted", nil)
	request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	handler.ServeHTTP(httptest.NewRecorder(), request)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("MADEUP", "/made-up", nil))
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := string(<-received)
	if !strings.Contains(body, "POST /oauth2/:which") || !strings.Contains(body, "\x0a\xf7\x65\x19") {
		t.Error("the span lacks its name or its trace")
	}
	if strings.Contains(body, "MADEUP /") || strings.Contains(body, "POST /oauth2/token") {
		t.Error("a span is named by what anybody can make up")
	}
	if strings.Contains(body, "planted") {
		t.Error("the query string reached the trace")
	}
}
