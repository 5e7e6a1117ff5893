package httpx

import (
	"net/http"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// wire is how a fault looks outside.
type wire struct {
	status int
	oauth  string // the `error` of RFC 6749 §5.2
	title  string // of RFC 9457 §3.1.4
}

// wireOf is the one table of what each code becomes. RFC 6749 has no names for what HTTP itself says by its status, nor for a
// server in trouble at the token endpoint: those take invalid_request, and the names of RFC 6749 §4.1.2.1.
func wireOf(code fault.Code) wire {
	switch code {
	case fault.InvalidRequest:
		return wire{http.StatusBadRequest, "invalid_request", "Invalid request"}
	case fault.InvalidClient:
		return wire{http.StatusUnauthorized, "invalid_client", "Client authentication failed"}
	case fault.UnauthorizedClient:
		return wire{http.StatusBadRequest, "unauthorized_client", "The client may not do this"}
	case fault.UnsupportedGrantType:
		return wire{http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type"}
	case fault.InvalidScope:
		return wire{http.StatusBadRequest, "invalid_scope", "Invalid scope"}
	case fault.InvalidTarget:
		return wire{http.StatusBadRequest, "invalid_target", "Invalid resource"}
	case fault.InvalidToken:
		return wire{http.StatusUnauthorized, "invalid_token", "Invalid access token"}
	case fault.InsufficientScope:
		return wire{http.StatusForbidden, "insufficient_scope", "Insufficient scope"}
	case fault.InvalidGrant:
		return wire{http.StatusBadRequest, "invalid_grant", "The token cannot be exchanged"}
	case fault.InvalidProof:
		return wire{http.StatusBadRequest, "invalid_dpop_proof", "Invalid DPoP proof"}
	case fault.UseNonce:
		return wire{http.StatusBadRequest, "use_dpop_nonce", "The DPoP proof needs a nonce"}
	case fault.UnsupportedTokenType:
		return wire{http.StatusBadRequest, "unsupported_token_type", "Unsupported token type"}
	case fault.MethodNotAllowed:
		return wire{http.StatusMethodNotAllowed, "invalid_request", "Method not allowed"}
	case fault.UnsupportedMedia:
		return wire{http.StatusUnsupportedMediaType, "invalid_request", "Unsupported media type"}
	case fault.TooLarge:
		return wire{http.StatusRequestEntityTooLarge, "invalid_request", "Request too large"}
	case fault.TooMany:
		return wire{http.StatusTooManyRequests, "temporarily_unavailable", "Too many requests"}
	case fault.NotFound:
		return wire{http.StatusNotFound, "invalid_request", "Not found"}
	case fault.Conflict:
		return wire{http.StatusConflict, "invalid_request", "Conflict"}
	case fault.Forbidden:
		return wire{http.StatusForbidden, "access_denied", "Forbidden"}
	case fault.PreconditionFailed:
		return wire{http.StatusPreconditionFailed, "invalid_request", "Precondition failed"}
	case fault.PreconditionRequired:
		return wire{http.StatusPreconditionRequired, "invalid_request", "Precondition required"}
	case fault.Mismatch:
		return wire{http.StatusUnprocessableEntity, "invalid_request", "Idempotency key used for another request"}
	case fault.Unavailable:
		return wire{http.StatusServiceUnavailable, "temporarily_unavailable", "Temporarily unavailable"}
	case fault.Internal:
	}
	return wire{http.StatusInternalServerError, "server_error", "Internal error"}
}

// Status returns the HTTP status of a fault.
func Status(code fault.Code) int { return wireOf(code).status }

// detail is what the caller may read. An internal error says no more than where its text can be found.
func detail(r *http.Request, e *fault.Error) string {
	if Status(e.Code) == http.StatusInternalServerError {
		return "internal error; the server's log has it under request id " + From(r.Context()).ID
	}
	return e.Detail
}

// retryAfter is how long a caller waits that is not told otherwise.
const retryAfter = time.Second

// setRetryAfter sets the header in whole seconds (RFC 9110 §10.2.3) where trying again can help.
func setRetryAfter(h http.Header, e *fault.Error) {
	wait := e.RetryAfter
	switch e.Code { //nolint:exhaustive // for all others there is nothing to wait for
	case fault.Unavailable, fault.TooMany:
		wait = max(wait, retryAfter)
	default:
	}
	if wait > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
}

//nolint:gochecknoglobals // constants in all but name
var noStore, noCache = []string{"no-store"}, []string{"no-cache"}

// NoStore forbids every cache to keep the answer (RFC 6749 §5.1).
func NoStore(h http.Header) { h["Cache-Control"], h["Pragma"] = noStore, noCache }
