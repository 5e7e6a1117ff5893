package httpx

import (
	"encoding/json"
	"net/http"

	"github.com/countersign/countersign/internal/fault"
)

// Problem is a problem document, RFC 9457 §3.1, with the extension members of Countersign.
type Problem struct {
	Type    string `json:"type"` // a URI, stable for a code
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail,omitempty"`
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"` // the member or parameter at fault
	Request string `json:"request_id"`
	// Errors are the members of the request's document at fault, if it is one.
	Errors []ProblemError `json:"errors,omitempty"`
}

// ProblemError is one of several things that are wrong with a request.
type ProblemError struct {
	Pointer string `json:"pointer"` // JSON pointer to the member at fault, as a URI fragment (RFC 6901 §6)
	Detail  string `json:"detail"`
}

// NewProblem returns the document for a fault. docs is the page that explains the errors.
func NewProblem(r *http.Request, e *fault.Error, docs string) *Problem {
	w := wireOf(e.Code)
	p := &Problem{
		Type: docs + "#" + string(e.Code), Title: w.title, Status: w.status, Detail: detail(r, e),
		Code: string(e.Code), Field: e.Field, Request: From(r.Context()).ID,
	}
	for _, v := range e.Violations {
		p.Errors = append(p.Errors, ProblemError(v))
	}
	return p
}

// Problems returns a writer of RFC 9457 documents whose types point into the page docs.
func Problems(docs string) FaultWriter {
	return func(w http.ResponseWriter, r *http.Request, e *fault.Error) {
		problem := NewProblem(r, e, docs)
		body, err := json.Marshal(problem)
		if err != nil {
			body = []byte(`{"status":500}`)
		}
		h := w.Header()
		NoStore(h)
		h.Set("Content-Type", "application/problem+json")
		setRetryAfter(h, e)
		if e.Code == fault.InvalidClient || e.Code == fault.InvalidToken || e.Code == fault.InsufficientScope {
			bearerChallenge(h, e)
		}
		w.WriteHeader(problem.Status)
		_, _ = w.Write(append(body, '\n')) // who has gone cannot be told
	}
}

// bearerChallenge is the one of a listener that takes nothing but bearer tokens: a caller that sent none gets no error code
// (RFC 6750 §3.1).
func bearerChallenge(h http.Header, e *fault.Error) {
	if e.Code == fault.InvalidClient {
		h.Set("WWW-Authenticate", `Bearer realm="`+Realm+`"`)
		return
	}
	h.Set("WWW-Authenticate", tokenChallenge("Bearer", e, ""))
}
