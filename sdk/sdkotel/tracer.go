package sdkotel

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/sdk"
)

// scope names the instrumentation.
const scope = "github.com/countersign/countersign/sdk/sdkotel"

// Tracer returns a tracer for [sdk.WithTracer] that makes spans by this provider, which must not be nil; that of the whole process is
// otel.GetTracerProvider(). It may be given to any number of clients and verifiers.
func Tracer(provider trace.TracerProvider) sdk.Tracer {
	return tracer{provider.Tracer(scope)}
}

type tracer struct{ spans trace.Tracer }

// Start implements sdk.Tracer.
func (t tracer) Start(ctx context.Context, operation string) (context.Context, func(sdk.Outcome)) {
	ctx, span := t.spans.Start(ctx, operation, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(o sdk.Outcome) {
		note(span, o)
		span.End()
	}
}

func note(span trace.Span, o sdk.Outcome) {
	span.SetAttributes(resultKey.String(o.Result))
	if o.TokenID != "" {
		span.SetAttributes(tokenKey.String(o.TokenID))
	}
	switch {
	case o.Err != nil:
		span.RecordError(o.Err)
		span.SetStatus(codes.Error, o.Err.Error())
	case o.Result == "refused": // the server answered, but not with what was asked for
		span.SetStatus(codes.Error, o.Result)
	}
}
