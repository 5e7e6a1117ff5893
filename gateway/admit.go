package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/sdk"
)

// The kinds of authentication.
const (
	authJWT        = "jwt"
	authIntrospect = "introspect"
	authNone       = "none"
)

// Whose requests a limit counts together.
const (
	limitByClient  = "client"
	limitByAddress = "address"
	limitByRoute   = "route"
)

// errOpaque is the cause of refusing a token that does not prove itself.
var errOpaque = errors.New("opaque token")

// find returns the route of a request and its canonical path.
func (g *Gateway) find(method, authority, escaped string) (*route, string, *refusal) {
	if !plainMethod(method) {
		return nil, "", &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "a method has no small letters"}
	}
	path, err := g.paths.canonical(escaped)
	if err != nil {
		return nil, "", badPath(err)
	}
	host := ""
	if g.byHost {
		var ok bool
		if host, ok = hostname(authority); !ok {
			return nil, "", &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "the host is neither a name nor an address"}
		}
	}
	choice, refused := g.choose(host, path)
	if refused != nil {
		return nil, "", refused
	}
	route := choice.route(method)
	if route == nil || method == http.MethodTrace || method == http.MethodConnect {
		return nil, "", noMethod(choice.allow())
	}
	return route, path, nil
}

// choose returns the routes of a canonical path. Whether an encoded slash or semicolon is one, the upstream decides: all ways to read it
// must lead to the same.
func (g *Gateway) choose(host, path string) (*choice, *refusal) {
	found, ambiguous := g.table.find(host, withoutParameters(path))
	if ambiguous {
		return nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "the path differs from that of another route by capital letters only"}
	}
	for _, reading := range readings(path) {
		plain, err := g.paths.canonical(reading)
		if err != nil {
			return nil, badPath(err)
		}
		if other, ambiguous := g.table.find(host, withoutParameters(plain)); ambiguous || other != found {
			return nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "the path is another route's if its encoded slash or semicolon is taken for one"}
		}
	}
	if found == nil {
		return nil, noRoute()
	}
	return found, nil
}

// readings are the other ways to read a canonical path.
func readings(path string) (all []string) {
	if strings.IndexByte(path, '%') < 0 {
		return nil
	}
	for _, decoded := range [][]string{{"%2F", "/"}, {"%3B", ";"}, {"%2F", "/", "%3B", ";"}} {
		if reading := strings.NewReplacer(decoded...).Replace(path); reading != path {
			all = append(all, reading)
		}
	}
	return all
}

// plainMethod tells whether servers agree on the method. It is the same in capitals to some of them (WSGI's), so that post would be judged by the
// route for any method and served as POST. What a proxy asks about was not looked at by net/http.
func plainMethod(method string) bool {
	for i := range len(method) {
		switch c := method[i]; {
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return method != ""
}

// withoutParameters takes ;parameters off the segments of a path, as servers do that know them.
func withoutParameters(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// admit decides whether the request may use the route. It returns the request with the caller's identity in its context, nil if there is
// a refusal, and the identity as far as it is known.
func (g *Gateway) admit(r *http.Request, route *route) (*http.Request, *sdk.Identity, *refusal) {
	if len(r.Header["Authorization"]) > 1 {
		return nil, nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: "more than one Authorization header"}
	}
	byAddress := route.limit != nil && route.limitBy == limitByAddress
	if byAddress { // before the token is looked at, so that it limits guessing too
		if refused := g.withinLimit(r.Context(), route, nil); refused != nil {
			return nil, nil, refused
		}
	}
	var identity *sdk.Identity
	if route.verifier != nil {
		verifiedLocally(r.Context())
		verified, err := route.verify(r)
		if err != nil {
			return nil, known(err), ofToken(route.verifier, err)
		}
		r = verified
		if identity, _ = sdk.FromContext(r.Context()); !canBeTold(identity) {
			return nil, identity, &refusal{status: http.StatusForbidden, code: "forbidden", detail: "the token names whom it is for in a way that no header can hold"}
		}
	}
	if route.limit != nil && !byAddress {
		if refused := g.withinLimit(r.Context(), route, identity); refused != nil {
			return nil, identity, refused
		}
	}
	return r, identity, nil
}

// known tells whose token it is that is good and not good enough.
func known(err error) *sdk.Identity {
	if e, ok := errors.AsType[*sdk.VerifyError](err); ok {
		return e.Identity
	}
	return nil
}

// verify checks the token of a request.
func (r *route) verify(request *http.Request) (*http.Request, error) {
	// The scheme has no dots, and what is no token at all VerifyRequest refuses.
	if given := request.Header["Authorization"]; r.jwtOnly && len(given) == 1 && strings.Count(given[0], ".") != 2 {
		if _, _, err := sdk.AccessToken(given); err != nil {
			return nil, err //nolint:wrapcheck // it is the SDK's, for its Refusal
		}
		return nil, &sdk.VerifyError{Kind: sdk.ErrInvalidToken, Detail: "the token is not a JWT, and this route takes no others", Err: errOpaque}
	}
	return r.verifier.VerifyRequest(request, r.policy) //nolint:wrapcheck // as above
}

// withinLimit counts the request.
func (g *Gateway) withinLimit(ctx context.Context, route *route, identity *sdk.Identity) *refusal {
	key := route.name
	switch {
	case route.limitBy == limitByClient && identity != nil:
		key += " client " + identity.Issuer() + " " + identity.ClientID()
	case route.limitBy != limitByRoute:
		key += " address " + ratelimit.Network(httpx.From(ctx).Address).String()
	}
	verdict := g.limiter.Allow(ctx, key, *route.limit)
	if verdict.Allowed {
		return nil
	}
	return &refusal{
		status: http.StatusTooManyRequests, code: "too_many_requests", detail: "too many requests: " + whose(route, identity) + " may make " + limitText(*route.limit) + " here",
		retryAfter: max(time.Second, verdict.RetryAfter),
	}
}

func whose(route *route, identity *sdk.Identity) string {
	switch {
	case route.limitBy == limitByClient && identity != nil:
		return "a client"
	case route.limitBy != limitByRoute:
		return "an address"
	}
	return "all together"
}

// limitText says a limit in words.
func limitText(l ratelimit.Limit) string {
	per := l.Per.String()
	for _, empty := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(per, empty) {
			per = per[:len(per)-2]
		}
	}
	return fmt.Sprintf("%d per %s", l.Requests, per)
}
