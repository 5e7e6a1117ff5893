// Package fault is the one error type that crosses the layers of Countersign: a code that callers ask for, a detail
// that is safe to show, and a cause that only the log sees.
package fault

import (
	"errors"
	"time"
)

// Code says what kind of failure it is. A Code is an error itself, so that errors.Is(err, fault.NotFound) asks the
// question that callers have.
type Code string

// The codes. Those that an RFC defines carry its name on the wire: RFC 6749 §5.2, RFC 6750 §3.1, RFC 8707 §2, RFC 9449 §12.2.
const (
	InvalidRequest       Code = "invalid_request"        // RFC 6749: malformed, missing or repeated parameter
	InvalidClient        Code = "invalid_client"         // RFC 6749: the caller is not who it says
	UnauthorizedClient   Code = "unauthorized_client"    // RFC 6749: the client may not use this grant type
	UnsupportedGrantType Code = "unsupported_grant_type" // RFC 6749
	InvalidScope         Code = "invalid_scope"          // RFC 6749: unknown, malformed or beyond the grant
	InvalidTarget        Code = "invalid_target"         // RFC 8707: the resource is unknown or not granted
	InvalidToken         Code = "invalid_token"          // RFC 6750: expired, revoked, malformed or not for this audience
	InsufficientScope    Code = "insufficient_scope"     // RFC 6750
	InvalidGrant         Code = "invalid_grant"          // RFC 6749: the token to be exchanged is expired, revoked, malformed or not the client's to exchange
	InvalidProof         Code = "invalid_dpop_proof"     // RFC 9449: missing, malformed, or not for this request
	UseNonce             Code = "use_dpop_nonce"         // RFC 9449: the proof needs the server's nonce
	UnsupportedTokenType Code = "unsupported_token_type" // RFC 7009
	MethodNotAllowed     Code = "method_not_allowed"     // 405
	UnsupportedMedia     Code = "unsupported_media_type" // 415
	TooLarge             Code = "too_large"              // 413
	TooMany              Code = "too_many_requests"      // 429
	NotFound             Code = "not_found"              // no such resource
	Conflict             Code = "conflict"               // the resource exists, or changed meanwhile
	Forbidden            Code = "forbidden"              // the caller may do such things, but not this one
	PreconditionFailed   Code = "precondition_failed"    // 412: the resource is not in the state that If-Match or If-None-Match names
	PreconditionRequired Code = "precondition_required"  // 428: the change needs If-Match
	Mismatch             Code = "idempotency_mismatch"   // 422: the Idempotency-Key was used for another request
	Unavailable          Code = "unavailable"            // a part that is needed does not answer: try again
	Internal             Code = "internal"               // a defect, or something nobody foresaw
)

// Error implements error.
func (c Code) Error() string { return string(c) }

// Error is a failure whose Detail is safe to show to the caller. Err is for the log only.
type Error struct {
	Code   Code
	Detail string
	// Field names the parameter or member at fault, if one is.
	Field string
	// Violations are the members of a document at fault, where one is looked at as a whole. Empty: Detail and Field say it all.
	Violations []Violation
	// RetryAfter is how long the caller should wait before it tries again; zero leaves the choice to the edge.
	RetryAfter time.Duration
	Err        error
}

// Violation is one thing that is wrong with a document.
type Violation struct {
	Pointer string // JSON pointer to the member at fault, as a URI fragment (RFC 6901 §6)
	Detail  string // safe to show
}

// New returns a failure with a detail that the caller may see.
func New(code Code, detail string) *Error { return &Error{Code: code, Detail: detail} }

// Wrap returns a failure with a detail that the caller may see and a cause that it may not.
func Wrap(code Code, detail string, err error) *Error {
	return &Error{Code: code, Detail: detail, Err: err}
}

// At returns e with the field at fault named.
func (e *Error) At(field string) *Error {
	named := *e
	named.Field = field
	return &named
}

// Error implements error. The text includes the cause and is meant for logs.
func (e *Error) Error() string {
	text := string(e.Code)
	if e.Field != "" {
		text += ": " + e.Field
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap makes errors.Is and errors.As see both the code and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Err}
}

// From returns err as an *Error: the outermost one in its chain, or Internal around an error that none foresaw.
// It returns nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if found, ok := errors.AsType[*Error](err); ok {
		return found
	}
	if code, ok := errors.AsType[Code](err); ok {
		return &Error{Code: code, Err: err}
	}
	return &Error{Code: Internal, Err: err}
}
