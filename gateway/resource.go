package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign/countersign/sdk"
)

const (
	resourceWellKnown = "/.well-known/oauth-protected-resource" // RFC 9728 §3
	metadataRoute     = "oauth-protected-resource"              // in logs, metrics and on the status page
)

// resources publishes the metadata of resources: each has a route of its own, and the challenges of the routes that it is about name it.
func (c *compiler) resources() {
	for n, given := range c.document.Resources {
		at := fmt.Sprintf("resources[%d]", n)
		about := slices.DeleteFunc(slices.Clone(c.gateway.routes), func(r *route) bool { return r.audience != given.Audience })
		c.scopes(at+".scopes", given.Scopes)
		if len(about) == 0 {
			c.wrong(at+".audience", "%q is the audience of no route", given.Audience)
			continue
		}
		if r := c.resource(at, given, about); r == nil {
			continue
		} else if taken := c.gateway.table.add(r); taken != nil {
			c.wrong(at+".audience", "the route %q is for the path of its metadata", taken.name)
		} else {
			c.gateway.routes = append(c.gateway.routes, r)
			c.gateway.byHost = true
		}
	}
}

// resource returns the route of the metadata; nil: it cannot have one. Clients make its address from the resource's identifier, and hold
// the two together (RFC 9728 §3.1, §3.3), so that there is no choice.
func (c *compiler) resource(at string, given Resource, about []*route) *route {
	u, err := url.Parse(given.Audience)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(given.Audience, "?#") {
		c.wrong(at+".audience", "%q: want an https URL without user, query and fragment: clients find the metadata by it", given.Audience)
		return nil
	}
	path := about[0].verifier.ResourceMetadataPath()
	for _, r := range about {
		named, err := r.verifier.ForResource(given.Audience, u.Scheme+"://"+u.Host+path)
		if err != nil {
			c.wrong(at+".audience", "%w", err)
			return nil
		}
		r.verifier = named
	}
	before := len(c.errs)
	made := &route{
		name: metadataRoute, hosts: c.resourceHost(at, u), path: path, exact: true, methods: []string{http.MethodGet}, resource: given.Audience,
		metadata: about[0].verifier.ResourceMetadata(given.metadata(about, c.document.asksForCertificates())), counts: c.gateway.cfg.Metrics.route(metadataRoute),
	}
	c.canonical(at+".audience", path)
	if len(c.errs) > before {
		return nil
	}
	return made
}

func (c *compiler) resourceHost(at string, u *url.URL) []string {
	host, ok := hostname(u.Host)
	if !ok {
		c.wrong(at+".audience", "%q is neither a name nor an address", u.Host)
	}
	return []string{host}
}

// metadata is what the resource's metadata says, as far as its verifier does not know it already.
func (given Resource) metadata(about []*route, certificates bool) sdk.Resource {
	issuers, scopes := []string{about[0].issuer}, given.Scopes
	for _, r := range about {
		if !slices.Contains(issuers, r.issuer) {
			issuers = append(issuers, r.issuer)
		}
		if given.Scopes == nil {
			scopes = append(scopes, slices.Concat(r.policy.AllOf, r.policy.AnyOf)...)
		}
	}
	if given.Scopes == nil {
		slices.Sort(scopes)
		scopes = slices.Compact(scopes)
	}
	return sdk.Resource{
		Name: given.Name, Issuers: issuers[1:], Scopes: scopes,
		ClientCertificates: certificates, BoundTokensOnly: !slices.ContainsFunc(about, func(r *route) bool { return !r.policy.Bound }),
		Documentation: given.Documentation, Policy: given.Policy, TermsOfService: given.TermsOfService,
	}
}

// asksForMetadata tells whether a request is answered with a resource's metadata.
func (g *Gateway) asksForMetadata(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, resourceWellKnown) {
		return false
	}
	route, _, refused := g.find(r.Method, r.Host, r.URL.EscapedPath())
	return refused == nil && route.metadata != nil
}
