package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/sdk"
)

// passage is one request on its way through the gateway. It belongs to the goroutine that serves the request.
type passage struct {
	exchange *httpx.Exchange
	route    *route
	path     string        // canonical
	identity *sdk.Identity // nil: nobody was asked for
	token    *sdk.Token    // that the upstream gets in place of the caller's; nil: none
	refused  *refusal      // nil: the upstream answered
	// forwarded: the request was let in, so that a refusal is about the upstream.
	forwarded bool
	trace     lb.Trace      // of the way to the upstream
	parent    string        // the trace context that goes upstream
	admitted  time.Duration // how long it took to decide
	upgraded  bool
	asked     bool // a proxy asks, and did not forward
	values    values
}

// passageOf returns the one that ctx belongs to.
func passageOf(ctx context.Context) *passage {
	p, _ := httpx.From(ctx).Attachment.(*passage)
	return p
}

// ServeHTTP forwards a request by the routes, or says why not.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := g.cfg.Now()
	p := &passage{exchange: httpx.From(r.Context())}
	p.exchange.Attachment = p
	defer func() { g.finish(r.Context(), p, began) }()
	route, path, refused := g.find(r.Method, r.Host, r.URL.EscapedPath())
	if refused != nil {
		g.refuse(w, p, refused)
		return
	}
	p.route, p.path = route, path
	p.exchange.Route = route.name
	limitBody(w, r, route)
	route.nonce(w.Header())
	admitted, identity, refused := g.admit(r, route)
	if refused == nil {
		p.token, refused = route.swap(admitted.Context())
	}
	p.admitted = g.cfg.Now().Sub(began)
	if p.identity = identity; identity != nil {
		p.exchange.Client = identity.ClientID()
	}
	if refused != nil {
		g.refuse(w, p, refused)
		return
	}
	if route.metadata != nil {
		route.metadata.ServeHTTP(w, r)
		return
	}
	if route.proxy == nil {
		g.refuse(w, p, &refusal{status: http.StatusNotFound, code: "not_found", detail: "this route has no upstream"})
		return
	}
	if route.maxBody > 0 && r.ContentLength > route.maxBody { // the upstream need not hear of it
		g.refuse(w, p, &refusal{status: http.StatusRequestEntityTooLarge, code: "too_large", detail: "the request body is too large"})
		return
	}
	p.forwarded = true
	route.proxy.ServeHTTP(w, admitted)
}

// limitBody bounds the size of a body and the time in which it is there.
func limitBody(w http.ResponseWriter, r *http.Request, route *route) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if route.maxBody > 0 {
		r.Body = http.MaxBytesReader(w, r.Body, route.maxBody)
	}
	if route.bodyTimeout > 0 {
		r.Body = newTimedBody(w, r.Body, route.bodyTimeout)
	}
}

// refuse answers in the gateway's own name.
func (g *Gateway) refuse(w http.ResponseWriter, p *passage, f *refusal) {
	p.refused = f
	f.write(w, p.exchange.ID)
}

// finish counts the request and completes its line in the log and its span.
func (g *Gateway) finish(ctx context.Context, p *passage, began time.Time) {
	took := g.cfg.Now().Sub(began)
	status := p.exchange.Status()
	if p.upgraded {
		status = http.StatusSwitchingProtocols
		p.exchange.Answered(status)
	}
	counts := g.unrouted
	if p.route != nil {
		counts = p.route.counts
	}
	counts.request(status, took, p)
	p.exchange.Details = p.details()
	p.describe(trace.SpanFromContext(ctx))
}

// details are what the log's line says beside what every line does.
func (p *passage) details() []slog.Attr {
	all := make([]slog.Attr, 0, 8)
	if p.route != nil && p.trace.Upstream != "" {
		all = append(all, slog.String("upstream", p.trace.Upstream), slog.Int("attempts", p.trace.Attempts), slog.Int64("upstream_us", p.trace.Took.Microseconds()))
	}
	all = append(all, slog.Int64("auth_us", p.admitted.Microseconds()))
	if p.parent != "" {
		all = append(all, slog.String("trace_id", p.parent[3:35]))
	}
	if f := p.refused; f != nil {
		all = append(all, slog.String("refused", f.code), slog.String("reason", f.detail))
		if f.err != nil && f.status >= http.StatusInternalServerError {
			all = append(all, slog.Any("error", f.err))
		}
	}
	return all
}

// unanswered is what becomes of a request that no upstream answered.
func (g *Gateway) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	p := passageOf(r.Context())
	status, detail, retryAfter, gone := lb.Classify(err)
	f := &refusal{status: status, code: failureCode(status), detail: detail, retryAfter: retryAfter, err: err}
	if gone {
		p.refused = f
		w.WriteHeader(status) // for the log; nobody reads it
		return
	}
	g.refuse(w, p, f)
}

// failureCode names the failures of lb.Classify.
func failureCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid_request"
	case http.StatusRequestTimeout:
		return "too_slow"
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return "too_large"
	case http.StatusBadGateway:
		return "bad_gateway"
	case http.StatusServiceUnavailable:
		return "unavailable"
	case http.StatusGatewayTimeout:
		return "upstream_timeout"
	}
	return "client_gone"
}
