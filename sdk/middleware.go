package sdk

import "net/http"

// Middleware returns a handler's guard: requests reach the handler if their token is valid and meets p, with the caller's identity
// in their context ([FromContext]); all others are answered by [Verifier.Reject]. Guards may be nested, as of a route within a
// group, and then each policy is to be met. The ResponseWriter is handed on as it is.
//
// Requests for CORS (OPTIONS) bear no token: answer them before the guard.
func (v *Verifier) Middleware(p Policy) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

// VerifyRequest checks the token of r, and returns r with the caller's identity in its context. [Verifier.Middleware] is made of it,
// and so can be that of any framework on net/http. Errors are those of [BearerToken] and [Verifier.Verify], for
// [Verifier.Reject].
//
// The token is taken from the Authorization header only. A second one in the query (access_token) or in a form in the body is
// ErrInvalidRequest (RFC 6750 §2). For that, once the token is verified, the first 64 KiB of a body of type
// application/x-www-form-urlencoded are read, and put back; no more of it is looked at, nor bodies of any other type.
func (v *Verifier) VerifyRequest(r *http.Request, p Policy) (*http.Request, error) {
	token, err := requestToken(r)
	if err != nil {
		return nil, err
	}
	identity, err := v.Verify(r.Context(), token, p)
	if err != nil {
		return nil, err
	}
	verified := r.WithContext(NewContext(r.Context(), identity))
	if formBearsToken(verified) {
		return nil, invalidRequest("a token in the header and another in the body")
	}
	return verified, nil
}
