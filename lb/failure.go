package lb

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/lb/http1"
)

// statusClientGone is what access logs show for a client that left before the answer. It is nobody's
// standard but widely understood; no client ever sees it.
const statusClientGone = 499

// problem is an error answer of RFC 9457. Its type is always "about:blank", so Title says no more
// than the status.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id"`
}

// fail answers a request that no upstream answered.
func (b *balancer) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, detail, retryAfter, clientGone := Classify(err)
	if clientGone {
		w.WriteHeader(status)
		return
	}
	p := problem{Status: status, Detail: detail, RequestID: r.Header.Get(headerRequestID)}
	if p.Status >= http.StatusInternalServerError {
		b.log.WarnContext(r.Context(), "request not answered by an upstream",
			"request_id", p.RequestID, "method", r.Method, "status", p.Status, "err", err)
	}
	writeProblem(w, p, retryAfter)
}

// Classify maps what Transport.RoundTrip returns to what the client is told: a status, a sentence that holds no secret, and when to
// try again if that is not 0, in whole seconds. If the client has gone nobody will read it; the status is then 499, which access logs show for that.
func Classify(err error) (status int, detail string, retryAfter time.Duration, clientGone bool) {
	soon := time.Second
	_, large := errors.AsType[*http.MaxBytesError](err)
	_, unread := errors.AsType[*bodyError](err)
	network, isNetwork := errors.AsType[net.Error](err)
	switch {
	case tooSlow(err): // ended the request's context by its deadline, but that client is still there
		return http.StatusRequestTimeout, "the request body did not arrive in time", 0, false
	case errors.Is(err, context.Canceled):
		return statusClientGone, "the client has gone", 0, true
	case large:
		return http.StatusRequestEntityTooLarge, "the request body is too large", 0, false
	case isHeadersTooLarge(err):
		return http.StatusRequestHeaderFieldsTooLarge, "the request has larger headers than the upstream takes", 0, false
	case errors.Is(err, http1.ErrRequest): // by HTTP/2, whose paths may hold blanks
		return http.StatusBadRequest, "the request cannot be passed on as HTTP/1.1", 0, false
	case unread:
		return http.StatusBadRequest, "the request body could not be read to its end", 0, false
	case errors.Is(err, ErrOpen):
		if open, ok := errors.AsType[*openError](err); ok {
			soon = max(soon, (open.after + time.Second - 1).Truncate(time.Second))
		}
		return http.StatusServiceUnavailable, "the upstreams fail too often at the moment", soon, false
	case errors.Is(err, ErrBusy):
		return http.StatusServiceUnavailable, "the upstreams have as many requests as they may", soon, false
	case errors.Is(err, ErrUnreachable):
		return http.StatusServiceUnavailable, "no upstream can be reached at the moment", soon, false
	case isNetwork && network.Timeout():
		return http.StatusGatewayTimeout, "the upstream did not answer in time", soon, false
	}
	return http.StatusBadGateway, "the upstream broke off before it answered", 0, false
}

func writeProblem(w http.ResponseWriter, p problem, retryAfter time.Duration) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set(headerRequestID, p.RequestID)
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that has gone needs no answer
}

// isHeadersTooLarge tells whether an upstream has said by HTTP/2 that it takes no headers of that size (RFC 9113 §6.5.2). The error of
// http.Transport has no name outside.
func isHeadersTooLarge(err error) bool {
	return strings.Contains(err.Error(), "request header list larger than peer's advertised limit")
}

func tooSlow(err error) bool {
	body, ok := errors.AsType[*bodyError](err)
	return ok && errors.Is(body, os.ErrDeadlineExceeded)
}
