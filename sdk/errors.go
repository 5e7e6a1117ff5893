package sdk

import (
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

// What went wrong, for [errors.Is]. The called side answers as RFC 6750 §3.1 and RFC 9449 §7.1 have it.
var (
	// ErrNoToken: the request bears no token. 401, a challenge without an error code.
	ErrNoToken = errors.New("no token")
	// ErrInvalidRequest: the request bears its token in a way that is not allowed, or more than one. 400 invalid_request.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrInvalidToken: the token is malformed, forged, expired, revoked, of another issuer or for another audience. 401 invalid_token.
	ErrInvalidToken = errors.New("invalid token")
	// ErrInvalidProof: the token is bound to a key, and the DPoP proof is missing, malformed, stale, for another request, or was used before.
	// 401 invalid_dpop_proof (RFC 9449 §7.1).
	ErrInvalidProof = errors.New("invalid DPoP proof")
	// ErrUseNonce: the DPoP proof has no nonce of the verifier's, or an old one ([WithDPoPNonces]). 401 use_dpop_nonce, and the nonce (RFC 9449 §9).
	ErrUseNonce = errors.New("DPoP nonce needed")
	// ErrInsufficientScope: the token is good, its scopes are not enough. 403 insufficient_scope.
	ErrInsufficientScope = errors.New("insufficient scope")
	// ErrForbidden: the token is good, its client is none of those that may call ([Policy.Clients]). 403, a challenge without an error code.
	ErrForbidden = errors.New("client not allowed")
	// ErrUnavailable: nothing can be said, since the authorization server cannot be asked. It is never a verdict on a token. 503.
	ErrUnavailable = errors.New("authorization server unavailable")
	// ErrNotIssuer: what answers at the issuer's address is not this issuer: its metadata is that of another one, cannot be read, or is
	// not there (RFC 8414 §3.3). The issuer was mistyped, most likely. It comes with ErrUnavailable; a [TokenSource] tells it at once.
	ErrNotIssuer = issuer.ErrNotIssuer
	// ErrCredentials: there is nothing to prove to the authorization server by who asks, say because the secret's file cannot be read. It
	// comes with ErrUnavailable, since the server cannot be asked, and is no fault of the server's.
	ErrCredentials = errors.New("no client credentials")
	// ErrClosed: the Client or Verifier was closed.
	ErrClosed = errors.New("closed")
)

// VerifyError is why a token was not accepted. It never holds the token.
type VerifyError struct {
	// Kind is one of ErrNoToken, ErrInvalidRequest, ErrInvalidToken, ErrInvalidProof, ErrUseNonce, ErrInsufficientScope, ErrForbidden and
	// ErrUnavailable.
	Kind error
	// Detail says more, in the characters of an RFC 6750 error_description, and may be shown to the caller.
	Detail string
	// Scope is what the route asks for, space-delimited, with ErrInsufficientScope.
	Scope string
	// Identity is who presented the token, with ErrInsufficientScope and ErrForbidden: for logs, since the token is good. Else nil.
	Identity *Identity
	// RetryAfter is when to try again, with ErrUnavailable; 0: not known.
	RetryAfter time.Duration
	// Err is the cause, for logs only. It may be nil.
	Err error

	offer offer
}

// Error implements error.
func (e *VerifyError) Error() string { return describe(e.Kind, e.Detail, e.Err) }

// Unwrap returns kind and cause.
func (e *VerifyError) Unwrap() []error { return wrapped(e.Kind, e.Err) }

// TokenError is why there is no token. It never holds a credential.
type TokenError struct {
	// Code is the error code of RFC 6749 §5.2 with which the server refused, such as "invalid_client"; empty if it did not answer
	// with one, or was not asked, and then the error is ErrUnavailable.
	Code string
	// Description is the server's error_description.
	Description string
	// Status is the HTTP status of the answer; 0: there was none.
	Status int
	// RetryAfter is when the server asks to be tried again; 0: it did not say.
	RetryAfter time.Duration
	// Err is the cause. It may be nil.
	Err error
}

// Error implements error.
func (e *TokenError) Error() string {
	if e.Code == "" {
		return describe(ErrUnavailable, "", e.Err)
	}
	return describe(fmt.Errorf("token request refused: %s", e.Code), e.Description, e.Err)
}

// Unwrap returns the cause, and ErrUnavailable if the server refused nothing.
func (e *TokenError) Unwrap() []error {
	if e.Code == "" {
		return wrapped(ErrUnavailable, e.Err)
	}
	return wrapped(nil, e.Err)
}

// describe writes an error. Where credentials are missing, the server is not to be blamed.
func describe(kind error, detail string, cause error) string {
	if detail == "" && errors.Is(cause, ErrCredentials) {
		return cause.Error()
	}
	text := kind.Error()
	if detail != "" {
		text += ": " + detail
	}
	if cause != nil {
		text += ": " + cause.Error()
	}
	return text
}

func wrapped(all ...error) (some []error) {
	for _, err := range all {
		if err != nil {
			some = append(some, err)
		}
	}
	return some
}
