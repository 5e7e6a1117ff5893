package gateway

import (
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/sdk"
)

// route is a Route made ready. It does not change.
type route struct {
	name    string
	hosts   []string // in small letters; *.example.com is a domain; empty: any
	path    string   // canonical
	exact   bool
	methods []string // empty: any

	verifier *sdk.Verifier // nil: no authentication
	issuer   string        // whose tokens
	audience string
	jwtOnly  bool
	policy   sdk.Policy
	drop     bool      // the token
	exchange *exchange // nil: the upstream gets the caller's token

	limit   *ratelimit.Limit // nil: none
	limitBy string

	pool        string
	maxBody     int64         // 0: any
	bodyTimeout time.Duration // 0: none
	rewrite     Rewrite
	proxy       *httputil.ReverseProxy // nil: for decisions only
	metadata    http.Handler           // answers with the metadata of resource; nil: it is no such route
	resource    string

	counts *routeCounts
}

// upstreamPath is what becomes of a canonical path.
func (r *route) upstreamPath(path string) string {
	if r.rewrite.Path != "" {
		return r.rewrite.Path
	}
	path = strings.TrimPrefix(path, trimmed(r.rewrite.StripPrefix))
	path = trimmed(r.rewrite.AddPrefix) + path
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	return path
}

// pattern describes what the route is for.
func (r *route) pattern() string {
	var b strings.Builder
	if len(r.methods) > 0 {
		b.WriteString(strings.Join(r.methods, ",") + " ")
	}
	b.WriteString(strings.Join(r.hosts, ",") + r.path)
	if !r.exact {
		b.WriteString(map[bool]string{true: "*", false: "/*"}[r.path == "/"])
	}
	return b.String()
}

// authentication names the kind, as the document does.
func (r *route) authentication() string {
	switch {
	case r.verifier == nil:
		return authNone
	case r.jwtOnly:
		return authJWT
	}
	return authIntrospect
}
