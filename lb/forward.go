package lb

import (
	"net/http"
	"net/http/httputil"
	"strings"

	"github.com/countersign/countersign/internal/httpx"
)

const headerRequestID = "X-Request-Id"

// rewrite makes the request that goes upstream. ReverseProxy has already removed hop-by-hop headers.
func (b *balancer) rewrite(pr *httputil.ProxyRequest) {
	trusted := b.proxies.Trusts(pr.In)
	for name := range pr.Out.Header {
		if Vouches(name) && (!trusted || misspelled(name)) {
			delete(pr.Out.Header, name)
		}
	}
	if trusted {
		pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"] // to which the peer is added
	}
	pr.SetXForwarded()
	if trusted {
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
			if said := pr.In.Header[name]; len(said) > 0 {
				pr.Out.Header[name] = said
			}
		}
	}
	pr.Out.Host = pr.In.Host
	// ReverseProxy drops parameters that it cannot parse, for proxies that decide by them. This one
	// does not look at the query, so it has no business to change it.
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.Header[headerRequestID] = pr.In.Header[headerRequestID] // which is ours, see ServeHTTP
}

// stampRequestID puts the request's id on the answer, once, whatever the upstream did.
func stampRequestID(resp *http.Response) error {
	resp.Header[headerRequestID] = resp.Request.Header[headerRequestID]
	return nil
}

// Vouches reports whether a header of this name, in any case, is one by which a proxy tells an upstream who the
// client is, so that nobody outside may send it. An underscore or another mark counts as a
// hyphen, because upstreams that map headers to variables cannot tell them apart.
func Vouches(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] {
	case 'X', 'x':
		return samePrefix(name, "x-forwarded") || same(name, "x-real-ip") || same(name, "x-client-ip") ||
			same(name, "x-cluster-client-ip") || same(name, "x-original-forwarded-for") || same(name, "x-request-id") ||
			samePrefix(name, "x-client-cert") || samePrefix(name, "x-ssl-client")
	case 'F', 'f':
		return same(name, "forwarded") || same(name, "forwarded-for")
	case 'C', 'c':
		return same(name, "client-cert") || same(name, "client-cert-chain") || same(name, "client-ip") // RFC 9440
	case 'S', 's':
		return samePrefix(name, "ssl-client")
	case 'T', 't':
		return same(name, "true-client-ip")
	}
	return false
}

func same(name, lower string) bool { return len(name) == len(lower) && samePrefix(name, lower) }

// samePrefix compares as a server does that makes variables of headers: some keep no mark but one.
func samePrefix(name, lower string) bool {
	if len(name) < len(lower) {
		return false
	}
	for i := range len(lower) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case isMark(rune(c)):
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func isMark(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
}

// misspelled tells whether a name has other marks than hyphens.
func misspelled(name string) bool {
	return strings.ContainsFunc(name, func(c rune) bool { return c != '-' && isMark(c) })
}

// requestID returns the id that the listener gave r, else a trusted proxy's if it is acceptable, else a new one.
func (b *balancer) requestID(r *http.Request) string {
	if id := httpx.From(r.Context()).ID; id != "" {
		return id
	}
	if ids := r.Header[headerRequestID]; len(ids) == 1 && validRequestID(ids[0]) && b.proxies.Trusts(r) {
		return ids[0]
	}
	return b.newID()
}

const maxRequestID = 64

func validRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
