// Package httpx is what every HTTP listener of Countersign shares: handlers that return errors, the one translation of
// faults to each wire format, request ids, trusted proxies, the access log, and serving until a drain.
package httpx

import (
	"errors"
	"net/http"

	"github.com/countersign/countersign/internal/fault"
)

// Handler serves a request, or returns why it could not: then it has written nothing.
type Handler func(w http.ResponseWriter, r *http.Request) error

// FaultWriter writes a failure in one wire format.
type FaultWriter func(w http.ResponseWriter, r *http.Request, e *fault.Error)

// With returns h as an http.Handler whose failures are written by write. What is no *fault.Error is shown as an internal
// error; its text reaches the access log alone.
func (h Handler) With(write FaultWriter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			Fail(w, r, err, write)
		}
	})
}

// Fail answers the request with err.
func Fail(w http.ResponseWriter, r *http.Request, err error, write FaultWriter) {
	found := fault.From(err)
	if abandoned := r.Context().Err(); abandoned != nil && errors.Is(err, abandoned) && found.Code == fault.Internal {
		found = fault.Wrap(fault.Unavailable, "the request was abandoned", err)
	}
	exchange := From(r.Context())
	exchange.Fault, exchange.cause = found, err
	if exchange.status != 0 {
		return // the answer has begun: its connection is all that can tell
	}
	write(w, r, found)
}
