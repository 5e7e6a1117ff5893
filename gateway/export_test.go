package gateway

import (
	"net/http"
	"strconv"
)

// Canonical returns the one spelling of a path.
func Canonical(p Paths, escaped string) (string, error) { return p.canonical(escaped) }

// Impersonates reports whether a header of this name could be taken for one of the gateway's.
func Impersonates(name string) bool { return impersonates(name) }

// IsTraceParent reports whether a trace context is passed on.
func IsTraceParent(text string) bool { return isTraceParent(text) }

// Hostname returns the name in an authority, and whether there is no other way to read it.
func Hostname(authority string) (string, bool) { return hostname(authority) }

// Find returns the name of the route that a request takes, or the status of the refusal.
func (g *Gateway) Find(method, host, path string) string {
	route, _, refused := g.find(method, host, path)
	if refused != nil {
		return strconv.Itoa(refused.status)
	}
	return route.name
}

// ReplaceTransports has every route forward by another transport.
func (g *Gateway) ReplaceTransports(t http.RoundTripper) {
	for _, r := range g.routes {
		r.proxy.Transport = t
	}
}
