package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/sdk"
)

// compiler makes routes of a document's, and collects what is wrong with them.
type compiler struct {
	gateway  *Gateway
	document *Document
	source   *document.Source
	errs     []error
}

func (c *compiler) err() error { return errors.Join(c.errs...) }

// wrong notes a mistake at a member of the document, such as routes[1].pool.
func (c *compiler) wrong(path, format string, args ...any) {
	c.errs = append(c.errs, c.source.Errorf(path, format, args...))
}

func (c *compiler) routes() {
	names := map[string]bool{}
	for n, given := range c.document.Routes {
		at := fmt.Sprintf("routes[%d]", n)
		if names[given.Name] {
			c.wrong(at+".name", "%q is the name of another route too", given.Name)
		}
		names[given.Name] = true
		before := len(c.errs)
		r := c.route(at, given)
		if len(c.errs) > before {
			continue
		}
		if taken := c.gateway.table.add(r); taken != nil {
			c.wrong(at+".match", "the route %q is for the same host, path and method", taken.name)
			continue
		}
		c.gateway.routes = append(c.gateway.routes, r)
		c.gateway.byHost = c.gateway.byHost || len(r.hosts) > 0
	}
}

func (c *compiler) route(at string, given Route) *route {
	r := &route{
		name: given.Name, methods: c.methods(at, given.Match.Methods), hosts: c.hosts(at, given.Match.Hosts), drop: given.Token == "drop",
		pool: given.Pool, maxBody: int64(given.MaxBody), bodyTimeout: given.Timeouts.Body, rewrite: given.Rewrite,
		counts: c.gateway.cfg.Metrics.route(given.Name),
	}
	c.path(at, given, r)
	c.authentication(at, given, r)
	c.limit(at, given, r)
	c.rewriting(at, given, r)
	c.forwarding(at, given, r)
	return r
}

func (c *compiler) path(at string, given Route, r *route) {
	m := given.Match
	r.path, r.exact = m.Prefix, m.Path != ""
	member := at + ".match.prefix"
	if r.exact {
		r.path, member = m.Path, at+".match.path"
	}
	if (m.Path == "") == (m.Prefix == "") {
		c.wrong(at+".match", "want one of path and prefix")
		return
	}
	c.canonical(member, r.path)
}

// canonical wants a path in the one spelling by which requests are matched.
func (c *compiler) canonical(member, path string) {
	if strings.ContainsAny(path, ";?#") {
		c.wrong(member, "%q: a path has neither query nor fragment nor parameters", path)
		return
	}
	switch one, err := c.document.Paths.canonical(path); {
	case err != nil:
		c.wrong(member, "%q: %s", path, strings.TrimPrefix(err.Error(), "the path "))
	case one != path:
		c.wrong(member, "%q is matched as %q: write it so", path, one)
	}
}

func (c *compiler) methods(at string, given []string) []string {
	if given != nil && len(given) == 0 {
		c.wrong(at+".match.methods", "is empty: name a method, or leave it out for any")
	}
	for n, method := range given {
		if !plainMethod(method) {
			c.wrong(fmt.Sprintf("%s.match.methods[%d]", at, n), "%q is no method: they are in capitals, such as GET", method)
		}
		if method == http.MethodTrace || method == http.MethodConnect {
			c.wrong(fmt.Sprintf("%s.match.methods[%d]", at, n), "%s is never passed on", method)
		}
	}
	return given
}

func (c *compiler) hosts(at string, given []string) []string {
	hosts := make([]string, 0, len(given))
	if given != nil && len(given) == 0 {
		c.wrong(at+".match.hosts", "is empty: name a host, or leave it out for any")
	}
	for n, host := range given {
		name := strings.TrimPrefix(host, "*.")
		if plain, ok := hostname(name); name == "" || !ok || plain != strings.ToLower(name) {
			c.wrong(fmt.Sprintf("%s.match.hosts[%d]", at, n), "%q: want a name without port, such as api.example.com or *.example.com", host)
		}
		hosts = append(hosts, strings.ToLower(host))
	}
	return hosts
}

func (c *compiler) authentication(at string, given Route, r *route) {
	r.policy = sdk.Policy{AllOf: given.AllOf, AnyOf: given.AnyOf, Clients: given.Clients}
	if given.Mode == "strict" {
		r.policy.Mode = sdk.Strict
	}
	r.policy.Bound = given.Constrained == boundRequired
	if given.Authentication == authNone {
		for member, set := range map[string]bool{
			"issuer": given.Issuer != "", "audience": given.Audience != "", "all_of": given.AllOf != nil, "any_of": given.AnyOf != nil,
			"clients": given.Clients != nil, "mode": given.Mode == "strict", "sender_constrained": r.policy.Bound,
			"token": given.Token == "drop", "exchange": given.Exchange != nil,
		} {
			if set {
				c.wrong(at+"."+member, "means nothing with authentication: none")
			}
		}
		return
	}
	r.jwtOnly = given.Authentication == authJWT
	if given.Audience == "" {
		c.wrong(at+".audience", "is missing: whom tokens must be for")
	}
	c.scopes(at+".all_of", given.AllOf)
	c.scopes(at+".any_of", given.AnyOf)
	issuer, ok := c.issuer(at, given.Issuer)
	if !ok || given.Audience == "" {
		return
	}
	if v := c.gateway.cfg.Verifiers[issuer]; v != nil {
		r.policy.Bound = r.policy.Bound || c.document.Issuers[issuer].Constrained == boundRequired
		r.verifier, r.issuer, r.audience = v.ForAudience(given.Audience), c.document.Issuers[issuer].URL, given.Audience
		c.exchange(at, given, issuer, r)
	} else {
		c.wrong(at+".issuer", "%q has no verifier", issuer)
	}
}

// scopes wants the characters of RFC 6749 §3.3.
func (c *compiler) scopes(member string, given []string) {
	for n, scope := range given {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			c.wrong(fmt.Sprintf("%s[%d]", member, n), "%q is no scope: one has printable ASCII without blanks, quotes and backslashes", scope)
		}
	}
	if given != nil && len(given) == 0 {
		c.wrong(member, "is empty: name a scope or leave it out")
	}
}

// issuer returns the name of the issuer that a route means.
func (c *compiler) issuer(at, given string) (string, bool) {
	known := slices.Sorted(maps.Keys(c.document.Issuers))
	switch {
	case given == "" && len(known) == 1:
		return known[0], true
	case given == "" && len(known) == 0:
		c.wrong(at+".authentication", "wants an issuer: there is none in issuers")
	case given == "":
		c.wrong(at+".issuer", "is missing: one of %s", strings.Join(known, ", "))
	case slices.Contains(known, given):
		return given, true
	default:
		c.wrong(at+".issuer", "%q is not in issuers: %s", given, orNone(known))
	}
	return "", false
}

func (c *compiler) limit(at string, given Route, r *route) {
	l := given.RateLimit
	if l == nil {
		return
	}
	r.limitBy = l.By
	limit := ratelimit.Limit{Requests: l.Requests, Per: l.Per, Burst: l.Burst}
	if limit.Burst == 0 {
		limit.Burst = limit.Requests
	}
	if err := limit.Validate(); err != nil {
		c.wrong(at+".rate_limit", "%s", err)
	}
	if c.gateway.limiter == nil {
		c.wrong(at+".rate_limit", "cannot be counted: there is no limiter")
	}
	r.limit = &limit
}

func (c *compiler) rewriting(at string, given Route, r *route) {
	rw := given.Rewrite
	at += ".rewrite"
	for member, path := range map[string]string{"strip_prefix": rw.StripPrefix, "add_prefix": rw.AddPrefix, "path": rw.Path} {
		if path != "" {
			c.canonical(at+"."+member, path)
		}
	}
	if rw.Path != "" && (rw.StripPrefix != "" || rw.AddPrefix != "") {
		c.wrong(at+".path", "takes the place of the whole path: it does not go with strip_prefix and add_prefix")
	}
	if strip := trimmed(rw.StripPrefix); strip != "" && !strings.HasPrefix(trimmed(r.path)+"/", strip+"/") {
		c.wrong(at+".strip_prefix", "%q is not the beginning of every path of this route, %q", rw.StripPrefix, r.path)
	}
}

func (c *compiler) forwarding(at string, given Route, r *route) {
	if given.Pool == "" {
		if c.document.forwards() {
			c.wrong(at+".pool", "is missing: one of %s", orNone(slices.Sorted(maps.Keys(c.document.Pools))))
		}
		return
	}
	transport := c.gateway.cfg.Transports[given.Pool]
	if transport == nil {
		c.wrong(at+".pool", "%q is not in pools: %s", given.Pool, orNone(slices.Sorted(maps.Keys(c.document.Pools))))
		return
	}
	r.proxy = c.gateway.newProxy(r, transport.With(given.overrides(transport.Overrides())))
}

// overrides are how the route's requests are sent where that differs from the pool's way.
func (given Route) overrides(o lb.Overrides) lb.Overrides {
	o.Trace = traceOf
	if given.Timeouts.Response > 0 {
		o.ResponseTimeout = given.Timeouts.Response
	}
	if given.Retries != nil {
		o = given.Retries.Over(o)
	}
	return o
}

// traceOf is where the transport notes how it reached an upstream.
func traceOf(r *http.Request) *lb.Trace {
	if p := passageOf(r.Context()); p != nil {
		return &p.trace
	}
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "there are none"
	}
	return strings.Join(names, ", ")
}
