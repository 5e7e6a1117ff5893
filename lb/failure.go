package lb

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
)

// statusClientGone is what access logs show for a client that left before the answer. It is nobody's
// standard but widely understood; no client ever sees it.
const statusClientGone = 499

const retryAfterSeconds = 1

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
	// A body that came too slowly ended the request's context by its deadline: that client is still there.
	if errors.Is(r.Context().Err(), context.Canceled) && !tooSlow(err) {
		w.WriteHeader(statusClientGone)
		return
	}
	p := classify(err)
	p.RequestID = b.requestID(r)
	if p.Status >= http.StatusInternalServerError {
		b.log.WarnContext(r.Context(), "request not answered by an upstream",
			"request_id", p.RequestID, "method", r.Method, "status", p.Status, "err", err)
	}
	writeProblem(w, p)
}

// classify maps what Transport returns to what the client is told.
func classify(err error) problem {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem{Status: http.StatusRequestEntityTooLarge, Detail: "the request body is too large"}
	}
	if tooSlow(err) {
		return problem{Status: http.StatusRequestTimeout, Detail: "the request body did not arrive in time"}
	}
	if _, ok := errors.AsType[*bodyError](err); ok {
		return problem{Status: http.StatusBadRequest, Detail: "the request body could not be read to its end"}
	}
	if errors.Is(err, ErrBusy) {
		return problem{Status: http.StatusServiceUnavailable, Detail: "the upstreams have as many requests as they may"}
	}
	if errors.Is(err, ErrUnreachable) {
		return problem{Status: http.StatusServiceUnavailable, Detail: "no upstream can be reached at the moment"}
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return problem{Status: http.StatusGatewayTimeout, Detail: "the upstream did not answer in time"}
	}
	return problem{Status: http.StatusBadGateway, Detail: "the upstream broke off before it answered"}
}

func writeProblem(w http.ResponseWriter, p problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set(headerRequestID, p.RequestID)
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout {
		h.Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that has gone needs no answer
}

func tooSlow(err error) bool {
	body, ok := errors.AsType[*bodyError](err)
	return ok && errors.Is(body, os.ErrDeadlineExceeded)
}
