package sdk

import "context"

// call is the context of a request whose token was accepted. It prints as [redacted].
type call struct {
	context.Context
	hidden

	identity *Identity
	token    *string // of which fmt, which looks into structs where it finds no method, prints the address
	proven   *engine // that checked the proof of a bound token; nil: none did, or the token is not bound
}

type tokenKey struct{}

// provenKey finds the token whose proof was checked for a request, so that a guard within a guard does not take the proof for one that was used
// before.
type provenKey struct{ by *engine }

// Value implements context.Context.
func (c *call) Value(key any) any {
	switch k := key.(type) {
	case identityKey:
		return c.identity
	case tokenKey:
		return *c.token
	case provenKey:
		if k.by == c.proven {
			return *c.token
		}
	}
	return c.Context.Value(key)
}

// String is what contexts that are made of this one print of it.
func (c *call) String() string { return "call by " + c.identity.String() }

// NewCallContext returns a context as [NewContext] does that carries the token as well which the caller was verified by, so that the service can call
// others in the caller's name ([Client.ExchangeTransport]). [Verifier.Middleware] and [Verifier.VerifyRequest] do this by themselves; it is for
// guards that use [Verifier.VerifyPresented]. Nothing that prints a context prints the token.
func NewCallContext(ctx context.Context, i *Identity, token string) context.Context {
	return &call{Context: ctx, identity: i, token: &token}
}

// TokenFromContext returns the token that the caller was verified by, and false if nobody was. It is a secret, and for [Client.Exchange]: sent on as it is,
// it would let the next service call this one.
func TokenFromContext(ctx context.Context) (string, bool) {
	token, _ := ctx.Value(tokenKey{}).(string)
	return token, token != ""
}
