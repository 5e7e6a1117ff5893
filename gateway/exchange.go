package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/countersign/countersign/sdk"
)

// exchange says for what the tokens of a route's callers are exchanged (RFC 8693).
type exchange struct {
	client   *sdk.Client // as whom the gateway asks
	resource string
	scopes   []string // empty: all that may be had
}

// exchange compiles a route's. It needs the route's issuer.
func (c *compiler) exchange(at string, given Route, issuer string, r *route) {
	e := given.Exchange
	if e == nil {
		return
	}
	at += ".exchange"
	c.scopes(at+".scopes", e.Scopes)
	client := c.gateway.cfg.Clients[issuer]
	switch {
	case given.Token == "drop":
		c.wrong(at, "does not go with token: drop, by which the upstream gets no token")
	case given.Pool == "":
		c.wrong(at, "is for routes with a pool: other proxies pass on the token that they have")
	case client == nil:
		c.wrong(at, "needs the client_id of issuer %q: the gateway exchanges tokens in the name of that client", issuer)
	}
	r.exchange = &exchange{client: client, resource: e.Resource, scopes: e.Scopes}
}

// swap exchanges the token by which the caller was let in, if the route wants that. ctx is that of the request that was verified.
func (r *route) swap(ctx context.Context) (*sdk.Token, *refusal) {
	if r.exchange == nil {
		return nil, nil
	}
	subject, _ := sdk.TokenFromContext(ctx) // there is one: the verifier put it there
	token, err := r.exchange.client.Exchange(ctx, subject, r.exchange.resource, r.exchange.scopes...)
	if err == nil {
		return token, nil
	}
	return nil, r.notExchanged(err)
}

// forget has the next request of the caller not bear what an upstream refused.
func (r *route) forget(ctx context.Context, refused *sdk.Token) {
	if subject, ok := sdk.TokenFromContext(ctx); ok {
		r.exchange.client.Forget(refused, subject, r.exchange.resource, r.exchange.scopes...)
	}
}

// notExchanged is why a caller who was let in gets no further. What is wrong with the gateway's own credentials is no verdict on the caller.
func (r *route) notExchanged(err error) *refusal {
	refused, _ := errors.AsType[*sdk.TokenError](err)
	switch {
	case refused == nil || refused.Code == "" || slices.Contains([]string{"invalid_client", "server_error", "temporarily_unavailable"}, refused.Code):
		f := &refusal{
			status: http.StatusServiceUnavailable, code: "unavailable", detail: "the token cannot be exchanged for one for the service now", retryAfter: time.Second, err: err,
		}
		if refused != nil {
			f.retryAfter = max(f.retryAfter, refused.RetryAfter)
		}
		return f
	case refused.Code == "invalid_grant": // it was revoked since it was judged, or is not the gateway's to exchange
		return ofToken(r.verifier, &sdk.VerifyError{Kind: sdk.ErrInvalidToken, Detail: "the token cannot be exchanged for one for the service", Err: err})
	}
	return &refusal{
		status: http.StatusForbidden, code: "forbidden", err: err,
		detail: "the token may not be exchanged for one for the service: " + refused.Code + ": " + refused.Description,
	}
}
