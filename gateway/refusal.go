package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk"
)

// refusal is why the gateway answers a request itself. It is an error, so that it can be returned where one is expected.
type refusal struct {
	status     int
	code       string // stable, for programs: a name in docs/errors.md
	title      string // the same for every refusal of this code; empty: the status' own
	detail     string
	challenge  string        // WWW-Authenticate
	dpop       string        // a second one, by the scheme DPoP
	allow      string        // Allow, with 405
	retryAfter time.Duration // with 429 and 503
	err        error         // for the log only
}

// Error implements error.
func (f *refusal) Error() string {
	if f.err != nil {
		return f.detail + ": " + f.err.Error()
	}
	return f.detail
}

// Unwrap returns the cause.
func (f *refusal) Unwrap() error { return f.err }

func badPath(err error) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", detail: err.Error()}
}

func noRoute() *refusal {
	return &refusal{status: http.StatusNotFound, code: "not_found", detail: "no route is for this host and path"}
}

func noMethod(allow string) *refusal {
	return &refusal{status: http.StatusMethodNotAllowed, code: "method_not_allowed", detail: "this route does not have that method", allow: allow}
}

// ofToken is how the SDK would answer, in the gateway's own form.
func ofToken(v *sdk.Verifier, err error) *refusal {
	r := v.Refusal(err)
	code := r.Code
	switch {
	case code != "":
	case r.Status == http.StatusUnauthorized:
		code = "no_token"
	case r.Status == http.StatusForbidden:
		code = "forbidden"
	case r.Status == http.StatusServiceUnavailable:
		code = "unavailable"
	default:
		code = "internal"
	}
	return &refusal{status: r.Status, code: code, detail: r.Detail, challenge: r.Challenge, dpop: r.DPoPChallenge, retryAfter: r.RetryAfter, err: err}
}

// write answers with a problem document (RFC 9457).
func (f *refusal) write(w http.ResponseWriter, id string) {
	title := f.title
	if title == "" {
		title = http.StatusText(f.status)
	}
	body, _ := json.Marshal(httpx.Problem{ // cannot fail
		Type: httpx.DefaultDocs + "#" + f.code, Title: title, Status: f.status, Detail: f.detail, Code: f.code, Request: id,
	})
	h := w.Header()
	httpx.NoStore(h)
	h.Set("Content-Type", "application/problem+json")
	if f.challenge != "" {
		h.Set("WWW-Authenticate", f.challenge)
	}
	if f.dpop != "" {
		h.Add("WWW-Authenticate", f.dpop)
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((f.retryAfter+time.Second-1)/time.Second), 10))
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(append(body, '\n')) // who has gone cannot be told
}
