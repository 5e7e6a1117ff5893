package trace_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/countersign/countersign/internal/trace"
)

// A request brings the context of the span that stands for its sender, and is to be recorded.
func TestSend(t *testing.T) {
	parents := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parents <- r.Header.Get("Traceparent")
		http.Error(w, "no", http.StatusTeapot)
	}))
	defer server.Close()
	sent, err := trace.Send(t.Context(), server.Client(), server.URL+"/orders")
	if err != nil {
		t.Fatal(err)
	}
	root := trace.Spans([]*otlp.ResourceSpans{sent.Root})[0]
	if got := <-parents; got != "00-"+sent.TraceID.String()+"-"+root.ID+"-01" || root.TraceID != sent.TraceID.String() {
		t.Errorf("the server got %q from %+v", got, root)
	}
	if sent.Status != http.StatusTeapot || sent.Body != "no\n" || root.Attributes["http.response.status_code"] != "418" || root.Service != "user" || root.End.Before(root.Start) {
		t.Errorf("%+v, %+v", sent, root)
	}
	server.Close()
	if _, err := trace.Send(t.Context(), server.Client(), server.URL); err == nil {
		t.Error("nobody answered, and that is no error")
	}
}

func TestUpload(t *testing.T) {
	spans := trace.NewCollector()
	server := httptest.NewServer(trace.Receiver(spans, bearer))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20"+bearer)
	from := trace.NewCollector()
	post(t, from, encoded(t, span(1, 1, "first"), span(1, 2, "second")), nil)
	base, err := trace.ParseReceiver(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := trace.Upload(t.Context(), base, from.Trace(ended(t), idOf(1), 0)); err != nil {
		t.Fatal(err)
	}
	if n := len(spans.Trace(ended(t), idOf(1), 0)); n != 2 {
		t.Errorf("%d spans came, want 2", n)
	}
	for _, address := range []string{"", "127.0.0.1:4318", "ftp://127.0.0.1", "http://user:hush@127.0.0.1", "http://127.0.0.1?key=x"} {
		if _, err := trace.ParseReceiver(address); err == nil || !strings.Contains(err.Error(), "allowed is") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestChosen(t *testing.T) {
	for environ, want := range map[string]string{
		"":                        "",
		"OTEL_SERVICE_NAME=x":     "",
		"OTEL_SDK_DISABLED=false": "",
		"OTEL_SDK_DISABLED=true":  "OTEL_SDK_DISABLED",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318":             "OTEL_EXPORTER_OTLP_ENDPOINT",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1/v1/traces": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_ENDPOINT=":                                  "",
		"OTEL_TRACES_EXPORTER=none":                                     "OTEL_TRACES_EXPORTER",
	} {
		if got := trace.Chosen([]string{"HOME=/", environ}); got != want {
			t.Errorf("%s: %q, want %q", environ, got, want)
		}
	}
	environ := trace.Environ([]string{"HOME=/", "OTEL_SERVICE_NAME=mine"}, "http://127.0.0.1:1", bearer, "auth-1")
	if environ[0] != "HOME=/" || slices.Contains(environ, "OTEL_SERVICE_NAME=mine") || !slices.Contains(environ, "OTEL_RESOURCE_ATTRIBUTES=service.instance.id=auth-1") {
		t.Errorf("%q", environ)
	}
}
