package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracing exports spans by OTLP over HTTP. The zero value is off and costs nothing.
type Tracing struct {
	provider *sdktrace.TracerProvider
	// invited: only requests that bring a trace context may be recorded, so that others need not be looked at.
	invited bool
}

// StartTracing reads the standard variables from environ (as os.Environ returns it) and starts the exporter if they name an
// endpoint (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or ask for it (OTEL_TRACES_EXPORTER=otlp).
// OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none keep it off. The protocol is http/protobuf; another is an error.
// Sampling, headers and the resource follow the same standard.
func StartTracing(ctx context.Context, environ []string, service, version string) (*Tracing, error) {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, "OTEL_") {
			env[name] = value
		}
	}
	wanted, err := tracesWanted(env)
	if err != nil || !wanted {
		return &Tracing{}, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("start the trace exporter: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		semconv.ServiceName(service), semconv.ServiceVersion(version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the traced service: %w", err)
	}
	return &Tracing{
		provider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithRawSpanLimits(limits(env))),
		invited:  env["OTEL_TRACES_SAMPLER"] == "parentbased_always_off",
	}, nil
}

// limits bounds what a caller's address, path or agent takes up in a span: receivers refuse a batch as a whole that is too large.
func limits(env map[string]string) sdktrace.SpanLimits {
	const value = 1024 // characters
	l := sdktrace.NewSpanLimits()
	if env["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"] == "" {
		l.AttributeValueLengthLimit = value
	}
	return l
}

// contexts is the W3C trace context, whose tracestate is let go where it is longer than who takes part has to pass on (§3.3.1.5).
type contexts struct{ propagation.TraceContext }

// Extract implements propagation.TextMapPropagator.
func (c contexts) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	const maxState = 512 // bytes
	ctx = c.TraceContext.Extract(ctx, carrier)
	if came := trace.SpanContextFromContext(ctx); came.TraceState().Len() > 0 && len(came.TraceState().String()) > maxState {
		ctx = trace.ContextWithRemoteSpanContext(ctx, came.WithTraceState(trace.TraceState{}))
	}
	return ctx
}

func tracesWanted(env map[string]string) (bool, error) {
	if strings.EqualFold(env["OTEL_SDK_DISABLED"], "true") {
		return false, nil
	}
	wanted := env["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" || env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] != ""
	switch exporter := env["OTEL_TRACES_EXPORTER"]; exporter {
	case "":
	case "otlp":
		wanted = true
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: allowed are otlp and none", exporter)
	}
	protocol := env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]
	if protocol == "" {
		protocol = env["OTEL_EXPORTER_OTLP_PROTOCOL"]
	}
	if wanted && protocol != "" && protocol != "http/protobuf" {
		return false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: allowed is http/protobuf", protocol)
	}
	return wanted, nil
}

// On reports whether spans are exported.
func (t *Tracing) On() bool { return t.provider != nil }

// Middleware records a span for each request and takes part in W3C trace context (propagation: tracecontext). Baggage from
// outside is not believed. A span is named by the request's Pattern, which next may set. It returns next itself when tracing is off.
func (t *Tracing) Middleware(next http.Handler) http.Handler {
	if !t.On() {
		return next
	}
	traced := otelhttp.NewHandler(next, "http",
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(contexts{}),
		otelhttp.WithSpanNameFormatter(spanName))
	if !t.invited {
		return traced
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Traceparent"]) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		traced.ServeHTTP(w, r)
	})
}

// Parent returns the traceparent of the span that ctx belongs to (W3C Trace Context §3.2), for a request that is made for it, and false
// if there is none.
func (t *Tracing) Parent(ctx context.Context) (string, bool) {
	if !t.On() || !trace.SpanContextFromContext(ctx).IsValid() {
		return "", false
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"], true
}

// spanName is the method and the route, as the semantic conventions for HTTP ask for: neither an unknown method nor a path as sent,
// of which anybody can make any number.
func spanName(_ string, r *http.Request) string {
	name := "HTTP"
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		name = r.Method
	}
	if r.Pattern != "" {
		name += " " + r.Pattern
	}
	return name
}

// Shutdown sends what is left, within ctx.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if !t.On() {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}
