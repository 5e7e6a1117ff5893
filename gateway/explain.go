package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign/sdk"
)

// Explanation is what a gateway would do with a request, and why.
type Explanation struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Path   string `json:"path,omitempty"` // as it is matched and sent upstream, unless rewritten

	Route          string   `json:"route,omitempty"` // empty: none
	Matches        string   `json:"matches,omitempty"`
	Authentication string   `json:"authentication,omitempty"`
	Issuer         string   `json:"issuer,omitempty"`
	Audience       string   `json:"audience,omitempty"`
	AllOf          []string `json:"all_of,omitempty"`
	AnyOf          []string `json:"any_of,omitempty"`
	Clients        []string `json:"clients,omitempty"`
	Mode           string   `json:"mode,omitempty"`
	Bound          bool     `json:"sender_constrained,omitempty"` // only tokens that are bound to a key or certificate of the caller's
	RateLimit      string   `json:"rate_limit,omitempty"`         // is not counted for an explanation
	Exchange       *Swap    `json:"exchange,omitempty"`           // for what the caller's token is exchanged; nil: for nothing

	Caller *Caller `json:"caller,omitempty"` // nil: there is no good token

	Status       int    `json:"status"` // 200: the request is let in
	Code         string `json:"code,omitempty"`
	Reason       string `json:"reason"`
	Challenge    string `json:"challenge,omitempty"`
	Allow        string `json:"allow,omitempty"` // with 405: the methods that have a route
	Pool         string `json:"pool,omitempty"`
	UpstreamPath string `json:"upstream_path,omitempty"`
	UpstreamHost string `json:"upstream_host,omitempty"`
	TokenPassed  bool   `json:"token_passed"`
}

// Swap is for what a token is exchanged.
type Swap struct {
	Resource string   `json:"resource"`
	Scopes   []string `json:"scopes,omitempty"` // that are asked for, or that the new token has
}

// Caller is whom a token proves.
type Caller struct {
	ClientID string    `json:"client_id"`
	Subject  string    `json:"sub"`
	Scopes   []string  `json:"scopes"`
	Audience []string  `json:"aud"`
	TokenID  string    `json:"jti,omitempty"`
	Expires  time.Time `json:"exp"`
}

// Explain tells what would become of a request with this token, or without one if it is empty. It counts for no limit and reaches no
// upstream, but asks the authorization server where the decision needs it, for an exchange as well.
func (g *Gateway) Explain(ctx context.Context, method string, address *url.URL, token string) *Explanation {
	e := &Explanation{Method: method, URL: address.Redacted()}
	route, path, refused := g.find(method, address.Host, address.EscapedPath())
	if refused != nil {
		e.refuse(refused)
		return e
	}
	e.Path = path
	e.of(route)
	r := (&http.Request{Method: method, URL: address, Host: address.Host, Header: http.Header{}, Body: http.NoBody}).WithContext(ctx)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	uncounted := *route
	uncounted.limit = nil
	admitted, identity, refused := g.admit(r, &uncounted)
	if refused == nil {
		var swapped *sdk.Token
		if swapped, refused = route.swap(admitted.Context()); swapped != nil {
			e.Exchange.Scopes = swapped.Scopes()
		}
	}
	if identity != nil {
		e.Caller = &Caller{
			ClientID: identity.ClientID(), Subject: identity.Subject(), Scopes: identity.Scopes(), Audience: identity.Audience(),
			TokenID: identity.TokenID(), Expires: identity.Expires(),
		}
	}
	if refused != nil {
		e.refuse(refused)
		return e
	}
	e.Status, e.Reason = http.StatusOK, "the token meets what the route asks for"
	if route.verifier == nil {
		e.Reason = "the route asks for no token"
	}
	if route.metadata != nil {
		e.Reason = "the gateway answers with the metadata of " + route.resource
	}
	if e.Pool = route.pool; e.Pool != "" {
		e.UpstreamPath, e.UpstreamHost = route.upstreamPath(path), route.rewrite.Host
		e.TokenPassed = token != "" && !route.drop && route.exchange == nil
	}
	return e
}

func (e *Explanation) refuse(f *refusal) {
	e.Status, e.Code, e.Reason, e.Challenge, e.Allow = f.status, f.code, f.detail, f.challenge, f.allow
}

func (e *Explanation) of(r *route) {
	e.Route, e.Matches, e.Authentication = r.name, r.pattern(), r.authentication()
	if r.verifier != nil {
		e.Issuer, e.Audience, e.Mode = r.issuer, r.audience, r.policy.Mode.String()
		e.AllOf, e.AnyOf, e.Clients, e.Bound = r.policy.AllOf, r.policy.AnyOf, r.policy.Clients, r.policy.Bound
	}
	if x := r.exchange; x != nil {
		e.Exchange = &Swap{x.resource, x.scopes}
	}
	if r.limit != nil {
		e.RateLimit = limitText(*r.limit) + ", by " + r.limitBy
	}
}

// Write writes the explanation for people.
func (e *Explanation) Write(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	line("request", e.Method+" "+e.URL)
	line("path", e.Path)
	line("route", strings.TrimSpace(e.Route+"  "+e.Matches))
	line("needs", e.needs())
	line("limit", e.RateLimit)
	if e.Exchange != nil {
		line("exchange", "for a token for "+e.Exchange.Resource)
	}
	if c := e.Caller; c != nil {
		line("caller", fmt.Sprintf("%s with scopes %q for %q until %s", c.ClientID, strings.Join(c.Scopes, " "), strings.Join(c.Audience, " "), c.Expires.Format(time.RFC3339)))
	}
	line("answer", strings.TrimSpace(fmt.Sprintf("%s %s", e.verdict(), e.Code)))
	line("why", e.Reason)
	line("challenge", e.Challenge)
	line("allowed", e.Allow)
	if e.Pool != "" {
		line("upstream", fmt.Sprintf("pool %s, %s %s", e.Pool, e.Method, e.UpstreamPath))
		line("host", e.UpstreamHost)
		line("token", e.passedOn())
	}
	return t.Flush() //nolint:wrapcheck // standard output is gone
}

// passedOn says which token the upstream gets.
func (e *Explanation) passedOn() string {
	switch x := e.Exchange; {
	case x != nil && len(x.Scopes) > 0:
		return "is exchanged for one for " + x.Resource + " with scopes " + strings.Join(x.Scopes, " ")
	case x != nil:
		return "is exchanged for one for " + x.Resource
	case e.TokenPassed:
		return "is passed on"
	}
	return "is not passed on"
}

func (e *Explanation) verdict() string {
	if e.Status == http.StatusOK {
		return "let in"
	}
	return fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
}

func (e *Explanation) needs() string {
	switch {
	case e.Route == "":
		return ""
	case e.Authentication == authNone:
		return "nothing (authentication: none)"
	}
	text := fmt.Sprintf("a token of %s for %s", e.Issuer, e.Audience)
	if e.Authentication == authJWT {
		text = fmt.Sprintf("a JWT of %s for %s", e.Issuer, e.Audience)
	}
	if len(e.AllOf) > 0 {
		text += ", scopes " + strings.Join(e.AllOf, " ")
	}
	if len(e.AnyOf) > 0 {
		text += ", one of the scopes " + strings.Join(e.AnyOf, " ")
	}
	if e.Bound {
		text += ", bound to a key or certificate of the caller's"
	}
	if e.Clients != nil {
		text += ", of the clients " + strings.Join(e.Clients, " ")
	}
	return text + ", " + e.Mode
}
