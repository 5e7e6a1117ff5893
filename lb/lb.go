// Package lb spreads HTTP requests over the upstreams of a pool and keeps working while some of them
// are down.
//
// A Pool knows the upstreams and checks them, a Policy picks one, a Transport sends a request to it or
// to the next one, and New puts a reverse proxy on top. The gateway uses Pool and Transport without it.
package lb

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"

	"github.com/countersign/countersign/internal/httpx"
)

// Config configures the load balancer's handler.
type Config struct {
	// Transport reaches the upstreams. Required. Whoever made it closes its idle connections.
	Transport *Transport
	// Logger gets a line for each request that an upstream did not answer. Nil discards them.
	Logger *slog.Logger
	// Proxies are those whose forwarding headers and request ids are believed. The zero value is nobody.
	Proxies httpx.Proxies
	// NewID makes ids for requests that bring none, or a bad one, or come from nobody who is trusted: 1 to 64 characters out of
	// [A-Za-z0-9._-]. Nil means 130 random bits.
	NewID func() string
}

// New returns a reverse proxy over cfg.Transport. It does no I/O.
//
// The request reaches the upstream with Host, path and query as the client sent them. Forwarding
// headers that the client sent, and others by which proxies vouch for a client, are dropped in every
// spelling; X-Forwarded-For, -Host and -Proto are made afresh. Those of a request that comes straight from one of Proxies are passed
// on, and the proxy is added to X-Forwarded-For. X-Request-Id is the one of an enclosing
// httpx.Edge, else such a proxy's if it is 1 to 64 characters out of [A-Za-z0-9._-], else a new one; the
// answer always bears it. Server-sent events
// and other bodies of unknown length are flushed as they come; upgrades (WebSocket) pass through;
// CONNECT is refused. A body that is buffered must not trickle in: it has 15 s, and a second more for each KiB. The connection
// of a request with Transfer-Encoding is closed after the answer.
//
// Where no upstream answers, the client gets application/problem+json (RFC 9457): 503 with Retry-After
// if none could be reached, 504 if one took too long, 502 if one broke, 400, 408 or 413 if the request's
// own body is at fault.
func New(cfg Config) (http.Handler, error) {
	if cfg.Transport == nil {
		return nil, errors.New("load balancer: no transport")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.NewID == nil {
		cfg.NewID = rand.Text
	}
	b := &balancer{transport: cfg.Transport, log: cfg.Logger, proxies: cfg.Proxies, newID: cfg.NewID}
	b.proxy = &httputil.ReverseProxy{
		Rewrite:        b.rewrite,
		Transport:      cfg.Transport,
		ModifyResponse: stampRequestID,
		ErrorHandler:   b.fail,
		ErrorLog:       slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
		BufferPool:     NewBuffers(),
	}
	return b, nil
}

type balancer struct {
	transport *Transport
	proxy     *httputil.ReverseProxy
	log       *slog.Logger
	proxies   httpx.Proxies
	newID     func() string
}

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := b.requestID(r)
	r.Header[headerRequestID] = []string{id} // decided once: what goes upstream, the answer and the log agree
	if r.Method == http.MethodConnect {
		writeProblem(w, problem{Status: http.StatusMethodNotAllowed, Detail: "this is not a tunnel", RequestID: id}, 0)
		return
	}
	// What a listener sets for handlers of its own would stand beside the upstream's.
	w.Header().Del(headerRequestID)
	w.Header().Del("X-Content-Type-Options")
	if len(r.TransferEncoding) > 0 { // RFC 9112 §6.1: there may have been a Content-Length too, and somebody who believed it
		w.Header().Set("Connection", "close")
	}
	b.transport.GuardBody(w, r)
	b.proxy.ServeHTTP(w, r)
}
