package trace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Sent is a request that was answered, with the span of its sender, to which the others belong.
type Sent struct {
	TraceID trace.TraceID
	Status  int
	Body    string // the beginning of the answer's
	Root    *otlp.ResourceSpans
}

// Send gets address as a user would. The request brings a trace context that asks to be recorded (W3C Trace Context §3.2).
func Send(ctx context.Context, client *http.Client, address string) (*Sent, error) {
	s := new(Sent)
	var id trace.SpanID
	_, _ = rand.Read(s.TraceID[:]) // never fails: crypto/rand
	_, _ = rand.Read(id[:])
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Traceparent", "00-"+hex.EncodeToString(s.TraceID[:])+"-"+hex.EncodeToString(id[:])+"-01")
	began := time.Now()
	resp, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	const shown = 1 << 10
	body, err := io.ReadAll(io.LimitReader(resp.Body, shown))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	s.Status, s.Body = resp.StatusCode, string(body)
	s.Root = root(s.TraceID, id, request.URL, resp.StatusCode, began)
	return s, nil
}

// root is the span of a request that ends now.
func root(traceID trace.TraceID, id trace.SpanID, address *url.URL, status int, began time.Time) *otlp.ResourceSpans {
	text := func(key, value string) *common.KeyValue {
		return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
	}
	code := &common.KeyValue{
		Key:   string(semconv.HTTPResponseStatusCodeKey),
		Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(status)}},
	}
	return &otlp.ResourceSpans{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{text(string(semconv.ServiceNameKey), "user")}},
		ScopeSpans: []*otlp.ScopeSpans{{
			Scope: &common.InstrumentationScope{Name: "github.com/countersign/countersign/internal/trace"},
			Spans: []*otlp.Span{{
				TraceId: traceID[:], SpanId: id[:], Name: http.MethodGet, Kind: otlp.Span_SPAN_KIND_CLIENT, Flags: uint32(trace.FlagsSampled),
				StartTimeUnixNano: uint64(began.UnixNano()), EndTimeUnixNano: uint64(began.Add(time.Since(began)).UnixNano()),
				Attributes: []*common.KeyValue{text(string(semconv.HTTPRequestMethodKey), http.MethodGet), text(string(semconv.URLFullKey), address.String()), code},
			}},
		}},
	}
}

// ParseReceiver reads the base URL of a receiver of OTLP over HTTP.
func ParseReceiver(base string) (*url.URL, error) {
	address, err := url.Parse(base)
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" || address.RawQuery != "" || address.User != nil {
		return nil, errors.New("allowed is an http or https URL without user and query, such as http://127.0.0.1:4318")
	}
	return address, nil
}

// Upload sends spans to a receiver of OTLP over HTTP at this base URL, to which /v1/traces is added. The standard variables of the
// process say the rest, such as headers (OTEL_EXPORTER_OTLP_HEADERS).
func Upload(ctx context.Context, base *url.URL, spans []*otlp.ResourceSpans) error {
	client := otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(base.JoinPath(Path).String()))
	if err := client.Start(ctx); err != nil {
		return fmt.Errorf("export the spans: %w", err)
	}
	err := client.UploadTraces(ctx, spans)
	if err == nil {
		err = client.Stop(ctx)
	}
	if err != nil {
		return fmt.Errorf("export the spans: %w", err)
	}
	return nil
}
