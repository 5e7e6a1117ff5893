package telemetry

import (
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Provider makes spans that are exported as those of Middleware are; when tracing is off, spans that nobody sees.
func (t *Tracing) Provider() trace.TracerProvider {
	if !t.On() {
		return noop.NewTracerProvider()
	}
	return t.provider
}

// Transport returns a client's transport, upon base, that has the trace of the context that a request is made in go on at the server
// (W3C Trace Context): each request, attempts apart, is a span of kind client. A request that belongs to no trace, such as a poll of
// the revocation feed, begins none. Query strings stay out of spans. It returns base itself when tracing is off.
func (t *Tracing) Transport(base http.RoundTripper) http.RoundTripper {
	if !t.On() {
		return base
	}
	return otelhttp.NewTransport(unqueried{base},
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithSpanNameFormatter(spanName), otelhttp.WithFilter(func(r *http.Request) bool {
			return trace.SpanContextFromContext(r.Context()).IsValid()
		}))
}

// unqueried keeps query strings out of what the span around it says of its URL: they may hold anything.
type unqueried struct{ base http.RoundTripper }

func (u unqueried) RoundTrip(r *http.Request) (*http.Response, error) {
	if span := trace.SpanFromContext(r.Context()); r.URL.RawQuery != "" && span.IsRecording() {
		plain := *r.URL
		plain.User, plain.RawQuery = nil, ""
		span.SetAttributes(semconv.URLFull(plain.String()))
	}
	return u.base.RoundTrip(r)
}
