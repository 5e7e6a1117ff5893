package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Refusal is how a request that was not accepted is answered. [Verifier.Reject] writes it to an HTTP response; other transports
// translate it.
type Refusal struct {
	// Status is the HTTP status: 400, 401, 403, 500 or 503.
	Status int
	// Code is the error code of RFC 6750 §3.1 or RFC 9449 §7.1; empty with 500 and 503, if there was no token, and if the client may not call.
	Code string
	// Detail may be shown to the caller.
	Detail string
	// Challenge is the value of WWW-Authenticate; empty with 500 and 503.
	Challenge string
	// DPoPChallenge is that of a second one, by the scheme DPoP (RFC 9449 §7.1), where the token is bound to a key or has to be; else empty.
	DPoPChallenge string
	// DPoPNonce is the value of DPoP-Nonce, with the code use_dpop_nonce; else empty.
	DPoPNonce string
	// RetryAfter is when to try again, in whole seconds and at least one, with 503; else 0.
	RetryAfter time.Duration
}

// Refusal tells how an error of [Verifier.Verify], [Verifier.VerifyPresented], [Verifier.VerifyRequest] or [AccessToken] is answered. ErrUnavailable,
// ErrClosed and the errors of a context are 503. Any other error is none of this package, and 500.
func (v *Verifier) Refusal(err error) Refusal {
	cause := &VerifyError{Kind: err}
	errors.As(err, &cause)
	r := refusalOf(cause.Kind)
	switch {
	case r.Status == http.StatusInternalServerError:
		return r
	case cause.Detail != "":
		r.Detail = quotable(cause.Detail)
	}
	if r.Status == http.StatusServiceUnavailable {
		r.RetryAfter = max(time.Second, (cause.RetryAfter + time.Second - 1).Truncate(time.Second))
		return r
	}
	parameters := challengeParameters(v.audience, v.engine.config.realm, v.resourceMetadata)
	bearer, dpop := schemeBearer+parameters, schemeDPoP+parameters+`, algs="`+strings.Join(proofAlgorithms(), " ")+`"`
	if r.Code == useNonce {
		r.DPoPNonce = v.DPoPNonce()
	}
	switch cause.offer {
	case offersNothing:
		r.Challenge = r.challenge(bearer, cause.Scope)
	case offersDPoP:
		r.Challenge, r.DPoPChallenge = r.challenge(bearer, cause.Scope), dpop
	case failedDPoP:
		r.Challenge, r.DPoPChallenge = bearer, r.challenge(dpop, cause.Scope)
	}
	return r
}

// challenge returns the value of WWW-Authenticate that goes with r (RFC 6750 §3).
func (r Refusal) challenge(beginning, scope string) string {
	if r.Code == "" {
		return beginning
	}
	text := beginning + `, error="` + r.Code + `", error_description="` + r.Detail + `"`
	if r.Status == http.StatusForbidden && scope != "" {
		text += `, scope="` + quotable(scope) + `"`
	}
	return text
}

// refusalOf is the table of RFC 6750 §3.1, and of what it does not speak of.
func refusalOf(kind error) Refusal {
	switch {
	case errors.Is(kind, ErrNoToken):
		return Refusal{Status: http.StatusUnauthorized, Detail: "no bearer token in the Authorization header"}
	case errors.Is(kind, ErrInvalidRequest):
		return Refusal{Status: http.StatusBadRequest, Code: "invalid_request", Detail: "the request is malformed"}
	case errors.Is(kind, ErrInvalidToken):
		return Refusal{Status: http.StatusUnauthorized, Code: "invalid_token", Detail: "the token is not valid"}
	case errors.Is(kind, ErrInvalidProof):
		return Refusal{Status: http.StatusUnauthorized, Code: invalidProof, Detail: "the DPoP proof is not valid"}
	case errors.Is(kind, ErrUseNonce):
		return Refusal{Status: http.StatusUnauthorized, Code: useNonce, Detail: "the DPoP proof needs a nonce of this server"}
	case errors.Is(kind, ErrInsufficientScope):
		return Refusal{Status: http.StatusForbidden, Code: "insufficient_scope", Detail: "the token lacks a scope that is needed here"}
	case errors.Is(kind, ErrForbidden):
		return Refusal{Status: http.StatusForbidden, Detail: "this client may not call here"}
	case errors.Is(kind, ErrUnavailable), errors.Is(kind, ErrClosed),
		errors.Is(kind, context.Canceled), errors.Is(kind, context.DeadlineExceeded):
		return Refusal{Status: http.StatusServiceUnavailable, Detail: "the token cannot be checked now"}
	default:
		return Refusal{Status: http.StatusInternalServerError, Detail: "internal error"}
	}
}

// problem is a problem document, RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Reject answers a request that was not accepted because of err, as [Verifier.Refusal] says: with challenges (RFC 6750 §3, RFC 9449 §7.1) or
// Retry-After, and a problem document (RFC 9457). A WWW-Authenticate that is set already is replaced. What is behind a 500 is
// logged, and not shown.
func (v *Verifier) Reject(w http.ResponseWriter, r *http.Request, err error) {
	refusal := v.Refusal(err)
	level := slog.LevelDebug
	if refusal.Status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	v.engine.config.log.LogAttrs(r.Context(), level, "request refused",
		slog.String("audience", v.audience), slog.Int("status", refusal.Status), slog.Any("error", err))

	body, _ := json.Marshal(problem{"about:blank", http.StatusText(refusal.Status), refusal.Status, refusal.Detail}) // cannot fail
	h := w.Header()
	if refusal.Challenge != "" {
		h.Set("WWW-Authenticate", refusal.Challenge)
	}
	if refusal.DPoPChallenge != "" {
		h.Add("WWW-Authenticate", refusal.DPoPChallenge)
	}
	if refusal.DPoPNonce != "" {
		h.Set(nonceHeader, refusal.DPoPNonce)
	}
	if refusal.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(refusal.RetryAfter/time.Second)))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body)
}
