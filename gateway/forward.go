package gateway

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/countersign/countersign/lb"
)

// newProxy returns what forwards the requests of a route.
func (g *Gateway) newProxy(r *route, transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { g.rewrite(r, pr) },
		Transport:      transport,
		ModifyResponse: answered,
		ErrorHandler:   g.unanswered,
		ErrorLog:       slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug), // broken off midway: the client's doing, mostly
		BufferPool:     g.buffers,
	}
}

// rewrite makes the request that goes upstream. ReverseProxy has already removed hop-by-hop headers, so that nobody can have one removed
// that is set here (Connection: X-Client-Id).
func (g *Gateway) rewrite(route *route, pr *httputil.ProxyRequest) {
	p := passageOf(pr.In.Context())
	h := pr.Out.Header
	for name := range h {
		if impersonates(name) || misleads(name) || lb.Vouches(name) {
			delete(h, name)
		}
	}
	// Servers that merge trailers into headers would believe them. What comes behind a body gets here only if the body was searched for a
	// token, so nobody can count on them.
	pr.Out.Trailer = nil
	g.forwarded(p, pr)
	p.values.identify(h, p.identity)
	if route.verifier != nil {
		delete(h, "Dpop") // it was used here, and is good for nobody else
		if route.drop || route.exchange != nil {
			delete(h, "Authorization")
		}
		if p.token != nil {
			p.values.set(h, "Authorization", p.token.Type()+" "+p.token.AccessToken())
		}
	}
	p.values.set(h, headerRequestID, p.exchange.ID)
	g.trace(p, pr)
	g.unupgrade(pr)
	pr.Out.Host = pr.In.Host
	if route.rewrite.Host != "" {
		pr.Out.Host = route.rewrite.Host
	}
	u := pr.Out.URL
	setPath(u, route.upstreamPath(p.path))
	// ReverseProxy drops parameters that it cannot parse, for proxies that decide by them.
	u.RawQuery = pr.In.URL.RawQuery
}

// setPath sets the path to an escaped one.
func setPath(u *url.URL, escaped string) {
	if u.Path == escaped && u.RawPath == "" && strings.IndexByte(escaped, '%') < 0 {
		return
	}
	plain, err := url.PathUnescape(escaped)
	if err != nil { // canonical paths and those of the document can be unescaped
		plain = escaped
	}
	u.Path, u.RawPath = plain, escaped
}

// forwarded tells the upstream who connected. What a trusted proxy before the gateway said goes on.
func (g *Gateway) forwarded(p *passage, pr *httputil.ProxyRequest) {
	const host, proto, chain = "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For"
	in, out := pr.In.Header, pr.Out.Header
	if p.exchange.Trusted {
		if before := in[chain]; len(before) > 0 {
			out[chain] = before
		}
		pr.SetXForwarded()
		for _, name := range []string{host, proto} {
			if given := in[name]; len(given) == 1 {
				out[name] = given
			}
		}
		return
	}
	scheme := "http"
	if pr.In.TLS != nil {
		scheme = "https"
	}
	if address := p.exchange.Address; address.IsValid() { // nobody is trusted: it is who connected
		p.values.set(out, chain, address.String())
	}
	p.values.set(out, host, pr.In.Host)
	p.values.set(out, proto, scheme)
}

// trace passes the trace context on, or makes one.
func (g *Gateway) trace(p *passage, pr *httputil.ProxyRequest) {
	h := pr.Out.Header
	if !p.exchange.Trusted {
		delete(h, "Baggage") // anybody can write anything there, and services believe it
	}
	if parent, ok := g.cfg.Tracing.Parent(pr.In.Context()); ok {
		p.parent = parent
		p.values.set(h, headerTraceParent, parent)
		return
	}
	parent, kept := traceParent(h)
	if !kept {
		delete(h, headerTraceState)
		p.values.set(h, headerTraceParent, parent)
	}
	p.parent = parent
}

// unupgrade lets connections become WebSockets and nothing else: what an upstream would make of h2c, for one, nobody here could see. A
// server may ignore an Upgrade (RFC 9110 §7.8), so the request goes on without.
func (g *Gateway) unupgrade(pr *httputil.ProxyRequest) {
	if wanted := pr.Out.Header.Get("Upgrade"); wanted != "" && !strings.EqualFold(wanted, "websocket") {
		pr.Out.Header.Del("Upgrade")
		pr.Out.Header.Del("Connection")
	}
}

// answered makes an upstream's answer the gateway's.
func answered(resp *http.Response) error {
	h := resp.Header
	delete(h, headerRequestID) // the gateway has set both already
	delete(h, "X-Content-Type-Options")
	delete(h, "Server") // which software in which version is nobody's business outside
	delete(h, "X-Powered-By")
	p := passageOf(resp.Request.Context())
	if p == nil {
		return nil
	}
	if p.route != nil && p.route.verifier != nil {
		delete(h, nonceHeader) // the gateway checks the proofs
	}
	if p.token != nil && resp.StatusCode == http.StatusUnauthorized {
		p.route.forget(resp.Request.Context(), p.token)
	}
	p.upgraded = p.upgraded || resp.StatusCode == http.StatusSwitchingProtocols
	return nil
}
