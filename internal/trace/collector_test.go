package trace_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"
	service "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/countersign/countersign/internal/trace"
)

const bearer = "the-bearer"

// span is the nth of a trace, named as given.
func span(traceID byte, n int, name string) *otlp.Span {
	id := binary.BigEndian.AppendUint64(nil, uint64(n)+1)
	return &otlp.Span{TraceId: bytes.Repeat([]byte{traceID}, 16), SpanId: id, Name: name, StartTimeUnixNano: 1, EndTimeUnixNano: 2}
}

func idOf(traceID byte) oteltrace.TraceID {
	return oteltrace.TraceID(bytes.Repeat([]byte{traceID}, 16))
}

func encoded(t *testing.T, spans ...*otlp.Span) []byte {
	t.Helper()
	text, err := proto.Marshal(&service.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{ScopeSpans: []*otlp.ScopeSpans{{Spans: spans}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// post sends a body to a receiver, as changed, and returns the answer.
func post(t *testing.T, to *trace.Collector, body []byte, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, trace.Path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/x-protobuf")
	if change != nil {
		change(r)
	}
	answer := httptest.NewRecorder()
	trace.Receiver(to, bearer).ServeHTTP(answer, r)
	return answer
}

// ended is a context in which nobody waits.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// rejected is how many spans an answer says were not taken.
func rejected(t *testing.T, answer *httptest.ResponseRecorder) int64 {
	t.Helper()
	got := new(service.ExportTraceServiceResponse)
	if err := proto.Unmarshal(answer.Body.Bytes(), got); err != nil || answer.Code != http.StatusOK {
		t.Fatalf("answered %d %q: %v", answer.Code, answer.Body, err)
	}
	return got.GetPartialSuccess().GetRejectedSpans()
}

func TestReceiverRefuses(t *testing.T) {
	good := encoded(t, span(1, 1, "x"))
	changed := func(change func(*otlp.Span)) []byte {
		s := span(1, 1, "x")
		change(s)
		return encoded(t, s)
	}
	for _, tt := range []struct {
		name   string
		body   []byte
		change func(*http.Request)
		status int
	}{
		{"no bearer", good, func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"wrong bearer", good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer the-beareR") }, 401},
		{"two bearers", good, func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+bearer) }, 401},
		{"another path", good, func(r *http.Request) { r.URL.Path = "/v1/metrics" }, 404},
		{"another method", good, func(r *http.Request) { r.Method = http.MethodPut }, 405},
		{"JSON", good, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 415},
		{"no type", good, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		{"compressed", good, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		{"too large", make([]byte, 4<<20+1), nil, 413},
		{"no message", []byte("\xff\xff"), nil, 400},
		{"no trace", changed(func(s *otlp.Span) { s.TraceId = nil }), nil, 400},
		{"zero trace", changed(func(s *otlp.Span) { s.TraceId = make([]byte, 16) }), nil, 400},
		{"short id", changed(func(s *otlp.Span) { s.SpanId = []byte{1} }), nil, 400},
		{"zero id", changed(func(s *otlp.Span) { s.SpanId = make([]byte, 8) }), nil, 400},
		{"short parent", changed(func(s *otlp.Span) { s.ParentSpanId = []byte{1} }), nil, 400},
		{"ends before it starts", changed(func(s *otlp.Span) { s.StartTimeUnixNano = 3 }), nil, 400},
		{"beyond time", changed(func(s *otlp.Span) { s.EndTimeUnixNano = 1 << 63 }), nil, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := trace.NewCollector()
			answer := post(t, c, tt.body, tt.change)
			if answer.Code != tt.status || answer.Body.Len() == 0 || strings.Contains(answer.Body.String(), bearer) {
				t.Errorf("answered %d %q, want %d", answer.Code, answer.Body, tt.status)
			}
			if n := len(c.Trace(ended(t), idOf(1), 0)); n != 0 {
				t.Errorf("%d spans were taken", n)
			}
		})
	}
	c := trace.NewCollector()
	if n := rejected(t, post(t, c, good, nil)); n != 0 || len(c.Trace(ended(t), idOf(1), 0)) != 1 {
		t.Errorf("a good one: %d rejected", n)
	}
}

func TestCollectorIsBounded(t *testing.T) {
	const traces, spans = 32, 1000
	c := trace.NewCollector()
	many := make([]*otlp.Span, spans+5)
	for n := range many {
		many[n] = span(1, n, "x")
	}
	if n := rejected(t, post(t, c, encoded(t, many...), nil)); n != 5 || len(c.Trace(ended(t), idOf(1), 0)) != spans {
		t.Errorf("%d of %d spans rejected", n, len(many))
	}
	if n := rejected(t, post(t, c, encoded(t, many[:10]...), nil)); n != 0 || len(c.Trace(ended(t), idOf(1), 0)) != spans {
		t.Errorf("sent again: %d rejected", n)
	}
	large := span(2, 1, "x")
	large.Attributes = []*common.KeyValue{{Key: "k", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: strings.Repeat("v", 1<<20)}}}}
	if n := rejected(t, post(t, c, encoded(t, large, span(2, 2, "x")), nil)); n != 1 || len(c.Trace(ended(t), idOf(2), 0)) != 1 {
		t.Errorf("a span of a MiB: %d rejected", n)
	}
	for id := range traces {
		post(t, c, encoded(t, span(byte(id+3), 1, "x")), nil)
	}
	for id, want := range map[byte]int{1: 0, 2: 0, 3: 1, traces + 2: 1} {
		if n := len(c.Trace(ended(t), idOf(id), 0)); n != want {
			t.Errorf("trace %d has %d spans, want %d", id, n, want)
		}
	}
}

// Who asks for more spans than there are gets them when they come, or what there is.
func TestTraceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := trace.NewCollector()
		for above := range 2 {
			got := make(chan int)
			go func() { got <- len(c.Trace(t.Context(), idOf(1), above)) }()
			synctest.Wait()
			select {
			case n := <-got:
				t.Fatalf("%d spans before they came", n)
			default:
			}
			post(t, c, encoded(t, span(2, above, "another trace")), nil)
			post(t, c, encoded(t, span(1, above, "x")), nil)
			if n := <-got; n != above+1 {
				t.Errorf("%d spans, want %d", n, above+1)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n := len(c.Trace(ctx, idOf(1), 2)); n != 2 {
			t.Errorf("%d spans in the end, want 2", n)
		}
	})
}

func TestEncode(t *testing.T) {
	c := trace.NewCollector()
	post(t, c, encoded(t, span(1, 1, "first"), span(1, 2, "second")), nil)
	text, err := trace.Encode(c.Trace(ended(t), idOf(1), 0))
	if err != nil {
		t.Fatal(err)
	}
	back, err := trace.Decode(text)
	if spans := trace.Spans(back); err != nil || len(spans) != 2 || spans[0].Name != "first" || spans[1].TraceID != idOf(1).String() {
		t.Errorf("%+v, %v", spans, err)
	}
	if _, err := trace.Decode([]byte("\xff")); err == nil {
		t.Error("garbage was decoded")
	}
}
