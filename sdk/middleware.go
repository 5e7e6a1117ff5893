package sdk

import (
	"net/http"
	"time"
)

// Middleware returns a handler's guard: requests reach the handler if their token is valid and meets p, with the caller's identity
// in their context ([FromContext]); all others are answered by [Verifier.Reject]. Guards may be nested, as of a route within a
// group, and then each policy is to be met. The ResponseWriter is handed on as it is.
//
// Requests for CORS (OPTIONS) bear no token: answer them before the guard.
func (v *Verifier) Middleware(p Policy) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v.hand(w.Header())
			verified, err := v.VerifyRequest(r, p)
			if err != nil {
				v.Reject(w, r, err)
				return
			}
			next.ServeHTTP(w, verified)
		})
	}
}

// HandlerFunc returns f guarded as by [Verifier.Middleware], for a single route:
//
//	mux.Handle("GET /items", verifier.HandlerFunc(sdk.RequireScope("inventory:read"), listItems))
func (v *Verifier) HandlerFunc(p Policy, f http.HandlerFunc) http.Handler {
	return v.Middleware(p)(f)
}

// VerifyRequest checks the token of r, and returns r with the caller's identity and token in its context ([FromContext], [TokenFromContext]). [Verifier.Middleware] is made of it,
// and so can be that of any framework on net/http. Errors are those of [AccessToken] and [Verifier.VerifyPresented], for
// [Verifier.Reject]. A framework's guard sends [Verifier.DPoPNonce] along with every answer, as the middleware does.
//
// A bound token is accepted by the scheme DPoP with a proof for this request ([WithPublicURL]), or with the TLS client certificate to which
// it is bound, that of the connection or of a proxy's header ([WithClientCertFrom]), each time anew.
//
// The token is taken from the Authorization header only. A second one in the query (access_token) or in a form in the body is
// ErrInvalidRequest (RFC 6750 §2). For that, once the token is verified, the first 64 KiB of a body of type
// application/x-www-form-urlencoded are read, and put back; no more of it is looked at, nor bodies of any other type.
func (v *Verifier) VerifyRequest(r *http.Request, p Policy) (*http.Request, error) {
	token, dpop, err := requestToken(r)
	if err != nil {
		if p.Bound || v.engine.config.boundOnly {
			err = offering(offersDPoP, err)
		}
		return nil, err
	}
	identity, err := v.check(r.Context(), &Presented{Token: token, DPoP: dpop, request: r}, p)
	if err != nil {
		return nil, err
	}
	ctx := &call{Context: r.Context(), identity: identity, token: &token}
	if identity.Bound() {
		ctx.proven = v.engine
	}
	verified := r.WithContext(ctx)
	if formBearsToken(verified) {
		return nil, invalidRequest("a token in the header and another in the body")
	}
	return verified, nil
}

// DPoPNonce returns the nonce that DPoP proofs are to have from now on, for the header DPoP-Nonce of answers; empty without
// [WithDPoPNonces].
func (v *Verifier) DPoPNonce() string {
	if nonces := v.engine.config.nonces; nonces != nil {
		return nonces.Issue(time.Now())
	}
	return ""
}

// hand sends the nonce along, also with success: the client's next proof then has one that is good for longer (RFC 9449 §8.2).
func (v *Verifier) hand(h http.Header) {
	if nonce := v.DPoPNonce(); nonce != "" {
		h.Set(nonceHeader, nonce)
	}
}
