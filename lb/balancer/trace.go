package balancer

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/lb"
)

// The attributes of a request's span.
const (
	listenerKey = attribute.Key("countersign.listener")
	poolKey     = attribute.Key("countersign.pool")
	upstreamKey = attribute.Key("countersign.upstream")
	attemptsKey = attribute.Key("countersign.attempts")
)

// traced has the upstream's spans hang below ours, if there are any, and ours tell where the request went.
func (p *process) traced(l Listener, next http.Handler) http.Handler {
	if !p.tracing.On() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if parent, ok := p.tracing.Parent(r.Context()); ok {
			r.Header.Set("Traceparent", parent)
		}
		span := trace.SpanFromContext(r.Context())
		if !span.IsRecording() {
			next.ServeHTTP(w, r)
			return
		}
		way := attached(r)
		if way == nil {
			way = new(lb.Trace)
			r = r.WithContext(context.WithValue(r.Context(), wayKey{}, way))
		}
		defer func() {
			span.SetAttributes(listenerKey.String(l.Name), poolKey.String(l.Pool), upstreamKey.String(way.Upstream), attemptsKey.Int(way.Attempts))
		}()
		next.ServeHTTP(w, r)
	})
}

// tracked is transport that notes how it went for requests that have a place for it.
func tracked(transport *lb.Transport, place func(*http.Request) *lb.Trace) *lb.Transport {
	how := transport.Overrides()
	how.Trace = place
	return transport.With(how)
}

// attached is what the exchange of a request holds; nil: nothing.
func attached(r *http.Request) *lb.Trace {
	way, _ := httpx.From(r.Context()).Attachment.(*lb.Trace)
	return way
}

// wayKey is the key of the context of a request that is recorded and in no log.
type wayKey struct{}

// carried is what such a context holds; nil: nothing.
func carried(r *http.Request) *lb.Trace {
	way, _ := r.Context().Value(wayKey{}).(*lb.Trace)
	return way
}
