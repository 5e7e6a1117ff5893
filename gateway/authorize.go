package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/countersign/countersign/internal/httpx"
)

// AuthorizePath is where other proxies ask, whatever the rest of the path.
const AuthorizePath = "/authorize"

// Authorize decides for other proxies (nginx auth_request, Traefik forwardAuth, Caddy forward_auth). It decides about the request that
// X-Forwarded-Method, X-Forwarded-Uri and X-Forwarded-Host describe, with the Authorization header that it bears itself: 200 with the
// headers that tell who calls, or how to answer. It is a handler to be served within an httpx.Edge.
//
// The metadata of resources is served too, at its own path.
//
// The proxy sends upstream the path that it got. So a path that is not canonical is refused: which one the upstream would see nobody
// here can say.
func (g *Gateway) Authorize(w http.ResponseWriter, r *http.Request) {
	if g.asksForMetadata(r) {
		g.ServeHTTP(w, r)
		return
	}
	began := g.cfg.Now()
	p := &passage{exchange: httpx.From(r.Context())}
	p.exchange.Attachment = p
	defer func() { g.finish(r.Context(), p, began) }()
	refused := g.decide(r, p)
	if p.route != nil {
		p.route.nonce(w.Header())
	}
	p.admitted = g.cfg.Now().Sub(began)
	if refused != nil {
		g.refuse(w, p, refused)
		return
	}
	httpx.NoStore(w.Header())
	p.values.identify(w.Header(), p.identity)
	w.WriteHeader(http.StatusOK)
}

// decide fills p, and returns why the request is not to be let in.
func (g *Gateway) decide(r *http.Request, p *passage) *refusal {
	if r.URL.Path != AuthorizePath && !strings.HasPrefix(r.URL.Path, AuthorizePath+"/") {
		return &refusal{status: http.StatusNotFound, code: "not_found", detail: "decisions are under " + AuthorizePath}
	}
	method, address, refused := original(r)
	if refused != nil {
		return refused
	}
	host := r.Host
	switch given := r.Header["X-Forwarded-Host"]; {
	case len(given) == 1 && given[0] != "":
		host = given[0]
	case len(given) > 0: // the proxy's own name, say, would lead to the routes for any host
		return &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "want at most one header X-Forwarded-Host, that is not empty"}
	}
	// The text itself: net/url would read an unescaped # as a part of the path, which the upstream may cut off there.
	spelled, _, _ := strings.Cut(r.Header[uriHeader][0], "?")
	route, path, refused := g.find(method, host, address.EscapedPath())
	switch {
	case refused != nil && refused.status == http.StatusNotFound:
		// For a proxy that asks, only 401 and 403 mean no.
		return &refusal{status: http.StatusForbidden, code: "forbidden", detail: refused.detail}
	case refused != nil:
		return refused
	case path != spelled:
		return &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "the path has another spelling than the one by which it is judged"}
	}
	p.route, p.path = route, path
	p.exchange.Route = route.name
	p.asked = true
	if route.exchange != nil { // the proxy would pass on the caller's token
		return &refusal{status: http.StatusForbidden, code: "forbidden", detail: "this route exchanges tokens, and only the gateway itself passes on what comes of that"}
	}
	asked := *r
	asked.Method, asked.URL, asked.Host, asked.Body = method, address, host, http.NoBody
	asked.TLS = nil // the proxy's: its certificate is not the client's
	_, identity, refused := g.admit(&asked, route)
	if p.identity = identity; identity != nil {
		p.exchange.Client = identity.ClientID()
	}
	return refused
}

const (
	methodHeader = "X-Forwarded-Method"
	uriHeader    = "X-Forwarded-Uri"
)

// original returns method and address of the request that is asked about.
func original(r *http.Request) (string, *url.URL, *refusal) {
	for _, name := range []string{methodHeader, uriHeader} {
		if given := r.Header[name]; len(given) != 1 || given[0] == "" {
			return "", nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "want one header " + name + ", of the request that is asked about"}
		}
	}
	address, err := url.ParseRequestURI(r.Header[uriHeader][0])
	if err != nil || address.Path == "" || address.Path[0] != '/' {
		return "", nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: uriHeader + " is no path with a query", err: err}
	}
	return r.Header[methodHeader][0], address, nil
}
