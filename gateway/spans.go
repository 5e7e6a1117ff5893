package gateway

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/sdk"
)

// The attributes of a request's span.
const (
	routeKey = attribute.Key("countersign.route")
	// verdictKey is accepted, open if the route lets everybody in, or the code of the refusal.
	verdictKey = attribute.Key("countersign.verdict")
	// verifiedKey is who was asked about the token: one of the verified constants.
	verifiedKey = attribute.Key("countersign.verified_by")
	clientKey   = attribute.Key("countersign.client_id")
	tokenKey    = attribute.Key("countersign.token_id")
	upstreamKey = attribute.Key("countersign.upstream")
	attemptsKey = attribute.Key("countersign.attempts")
)

// Who was asked about a token, the last of several.
const (
	verifiedHere     = "memory" // or, of a JWT, its signature: nobody was asked for this request
	verifiedByStore  = "token_store"
	verifiedByServer = "introspection"
)

// describe says on the request's span what was decided and where the request went.
func (p *passage) describe(span trace.Span) {
	if !span.IsRecording() {
		return
	}
	verdict := "accepted"
	switch {
	case p.refused != nil && !p.forwarded:
		verdict = p.refused.code
	case p.route != nil && p.route.verifier == nil:
		verdict = "open"
	}
	span.SetAttributes(verdictKey.String(verdict))
	if p.route != nil {
		span.SetAttributes(routeKey.String(p.route.name))
	}
	if p.identity != nil {
		span.SetAttributes(clientKey.String(p.identity.ClientID()), tokenKey.String(p.identity.TokenID()))
	}
	if p.forwarded {
		span.SetAttributes(upstreamKey.String(p.trace.Upstream), attemptsKey.Int(p.trace.Attempts))
	}
}

// verifiedLocally holds until somebody is asked.
func verifiedLocally(ctx context.Context) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(verifiedKey.String(verifiedHere))
	}
}

// asking has the span of a request tell whom its verifier asks.
type asking struct{ sdk.Tracer }

// Start implements sdk.Tracer.
func (a asking) Start(ctx context.Context, operation string) (context.Context, func(sdk.Outcome)) {
	switch operation {
	case sdk.OperationTokenStore:
		trace.SpanFromContext(ctx).SetAttributes(verifiedKey.String(verifiedByStore))
	case sdk.OperationIntrospect:
		trace.SpanFromContext(ctx).SetAttributes(verifiedKey.String(verifiedByServer))
	}
	return a.Tracer.Start(ctx, operation)
}
