package lb

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/lb/http1"
)

// RoundTrip implements http.RoundTripper. Its error wraps ErrUnreachable if no upstream could be
// connected to, ErrBusy if those that could have no room, ErrOpen if their breakers are open, and the request's context's if that has ended; Classify tells what it means to the client.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c, err := t.newCall(req)
	if err != nil {
		return nil, ended(req, err)
	}
	var trace *Trace
	if t.how.Trace != nil {
		trace = t.how.Trace(req)
	}
	resp, err := t.send(c)
	if trace != nil {
		trace.Attempts, trace.Took = len(c.tried)-c.refused, c.took
		if c.latest != nil {
			trace.Upstream = c.latest.address
		}
	}
	if c.held != nil {
		c.held.settle()
	}
	if err != nil {
		return nil, ended(req, err)
	}
	return resp, nil
}

// ended makes sure that err tells if the request's context has ended. It may have ended because the body cannot be read on, though the
// client is still there: then err tells that.
func ended(req *http.Request, err error) error {
	cause := req.Context().Err()
	if fault := httpx.ReadFault(req.Context()); cause != nil && fault != nil && hasBody(req) {
		return &bodyError{fault}
	}
	if cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// send tries one upstream after another.
func (t *Transport) send(c *call) (*http.Response, error) {
	t.budget.earn()
	if t.how.Key != nil {
		c.key = t.how.Key(c.req)
	}
	for t.mayGoOn(c) {
		u := t.pool.pick(c.key, c.tried)
		if u == nil {
			break
		}
		c.tried = append(c.tried, u)
		if !t.admit(u, c) {
			continue
		}
		if c.latest != nil && t.pool.retries != nil {
			t.pool.retries.Inc()
		}
		c.latest = u
		began := t.now()
		resp, err := t.attempt(u, c)
		took := t.now().Sub(began)
		c.took += took
		if err != nil {
			if !t.judge(u, c, err) {
				break
			}
			continue
		}
		well := resp.StatusCode < http.StatusInternalServerError
		t.pool.answered(c.req.Context(), u, well)
		u.recorded(well)
		u.metrics.answered(resp.StatusCode, took)
		c.discard()
		c.answer = resp
		if !t.retryStatus(c, resp.StatusCode) {
			break
		}
	}
	return c.outcome()
}

// admit counts a request at u, if u, its breaker and the budget let it pass.
func (t *Transport) admit(u *Upstream, c *call) bool {
	if !u.take() {
		c.refused, c.busy = c.refused+1, true
		return false
	}
	if !u.permits() {
		u.inFlight.Add(-1)
		c.refusedBy(u)
		return false
	}
	if (c.answer != nil || c.broken != nil) && !t.budget.spend() {
		u.inFlight.Add(-1)
		u.abandoned()
		c.refused, c.spent = c.refused+1, true
		return false
	}
	return true
}

// mayGoOn reports whether a further upstream may be tried.
func (t *Transport) mayGoOn(c *call) bool {
	attempts := len(c.tried) - c.refused
	if c.spent {
		return false
	}
	return t.how.Attempts == 0 || attempts <= max(0, t.how.Attempts)
}

// retryStatus reports whether another upstream may be asked although this one answered.
func (t *Transport) retryStatus(c *call, status int) bool {
	if !slices.Contains(t.how.RetryStatuses, status) || !c.repeatable {
		return false
	}
	touched, clientErr := c.body()
	return !touched && clientErr == nil
}

// judge decides what follows from a failed attempt: it notes what is the matter and reports whether another upstream may be tried.
func (t *Transport) judge(u *Upstream, c *call, err error) bool {
	ctx := c.req.Context()
	touched, clientErr := c.body()
	if ctx.Err() != nil || clientErr != nil { // given up by the caller, or the client's doing: says nothing of the upstream
		c.broken = err
		u.metrics.broke(true)
		u.abandoned()
		return false
	}
	if isHeadersTooLarge(err) || errors.Is(err, http1.ErrRequest) { // the upstream has seen nothing of it
		c.broken = err
		u.metrics.broke(true)
		u.abandoned()
		return false
	}
	u.metrics.broke(false)
	if ce, ok := errors.AsType[*connectError](err); ok {
		if ce.local() {
			u.abandoned()
		} else {
			t.pool.unreachable(ctx, u, ce)
			u.recorded(false)
		}
		c.unreached = err
		return !touched
	}
	c.broken = err
	t.pool.answered(ctx, u, false)
	u.recorded(false)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() && !t.how.RetryTimeouts {
		return false
	}
	return c.repeatable && !touched
}
