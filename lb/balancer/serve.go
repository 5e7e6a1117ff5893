package balancer

import (
	"log/slog"
	"net/http"
	"path"
	"slices"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/lb"
)

// spec is a listener of a document in front of the pool that transport reaches.
func (p *process) spec(l Listener, d *Document, transport *lb.Transport) (listeners.Spec, error) {
	spec := l.Spec(d.Drain)
	if l.Mode == modeTCP {
		stream, err := lb.NewStream(lb.StreamConfig{
			Pool: transport.Pool(), ConnectTimeout: d.Pools[l.Pool].Timeouts.Connect, IdleTimeout: l.TCPIdle, Logger: p.log, Now: p.cfg.Now,
		})
		if err != nil {
			return spec, err
		}
		spec.Stream = stream.Serve
		return spec, nil
	}
	proxies, err := httpx.ParseProxies(l.TrustedProxies)
	if err != nil {
		return spec, err
	}
	switch {
	case l.AccessLog:
		transport = tracked(transport, attached)
	case p.tracing.On():
		transport = tracked(transport, carried)
	}
	handler, err := lb.New(lb.Config{Transport: transport, Logger: p.log, Proxies: proxies})
	if err != nil {
		return spec, err
	}
	handler = p.traced(l, without(l.NotFound, handler))
	if l.AccessLog {
		edge := &httpx.Edge{Log: p.log, Proxies: proxies, Now: p.cfg.Now, Write: httpx.Problems(httpx.DefaultDocs)}
		handler = edge.Wrap(noted(l, handler))
	}
	spec.Handler = p.tracing.Middleware(handler)
	return spec, nil
}

// without is next for all paths but these, however they are spelled.
func without(paths []string, next http.Handler) http.Handler {
	if len(paths) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(paths, path.Clean(r.URL.Path)) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noted has the access log say where a request went.
func noted(l Listener, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchange, trace := httpx.From(r.Context()), new(lb.Trace)
		exchange.Route, exchange.Attachment = l.Name, trace
		defer func() {
			exchange.Details = append(exchange.Details, slog.String("pool", l.Pool), slog.String("upstream", trace.Upstream),
				slog.Int("attempts", trace.Attempts), slog.Int64("upstream_us", trace.Took.Microseconds()))
		}()
		next.ServeHTTP(w, r)
	})
}
