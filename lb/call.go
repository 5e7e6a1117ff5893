package lb

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// call is one request on its way through possibly several attempts. At most one of replay and held is
// set; neither means that there is no body.
type call struct {
	req        *http.Request
	header     http.Header
	repeatable bool // may be sent again after it was sent
	replay     func() (io.ReadCloser, error)
	held       *heldBody

	first   attempt
	key     string
	tried   []*Upstream
	few     [2]*Upstream  // where tried begins, so that most requests need no more memory for it
	refused int           // of tried: nothing was sent to them, because they or the budget are exhausted, or their breakers are open
	busy    bool          // some of them are exhausted
	spent   bool          // the budget is
	after   time.Duration // until the first breaker lets requests try; 0: none is open
	latest  *Upstream     // that was tried and not refused
	took    time.Duration
	// What has come of it so far. An answer may be one after which others are asked.
	answer    *http.Response
	broken    error // from an upstream that may have got the request
	unreached error // from one that got nothing
}

func (t *Transport) newCall(req *http.Request) (*call, error) {
	c := &call{req: req, header: req.Header, repeatable: t.repeatable(req)}
	c.tried = c.few[:0]
	if !c.repeatable {
		c.header = withoutReplayHint(c.header)
	}
	if t.http2 {
		c.header = withoutUpgrade(c.header)
	}
	if !hasBody(req) {
		return c, nil
	}
	rest := req.Body
	if t.buffers(req) {
		var err error
		if c.replay, rest, err = buffer(req.Body, t.how.ReplayBytes); err != nil {
			return nil, err
		}
	}
	if rest != nil {
		c.held = &heldBody{src: rest}
	}
	return c, nil
}

// body reports whether an attempt has read from a body that cannot be sent again, and the error that reading met.
func (c *call) body() (touched bool, err error) {
	if c.held == nil {
		return false, nil
	}
	return c.held.state()
}

// refusedBy notes that the breaker of u is open.
func (c *call) refusedBy(u *Upstream) {
	c.refused++
	after := max(u.breaker.RemainingDelay(), time.Nanosecond) // others may be trying
	if c.after == 0 || after < c.after {
		c.after = after
	}
}

// discard ends the answer that is not passed on.
func (c *call) discard() {
	if c.answer != nil {
		_ = c.answer.Body.Close() // nobody reads it
		c.answer = nil
	}
}

// outcome is what the caller gets.
func (c *call) outcome() (*http.Response, error) {
	switch {
	case c.answer != nil:
		return c.answer, nil
	case c.broken != nil:
		return nil, c.broken
	case c.busy:
		return nil, ErrBusy
	case c.unreached == nil && c.after > 0:
		return nil, &openError{c.after}
	case c.unreached == nil:
		return nil, ErrUnreachable
	}
	return nil, fmt.Errorf("%w: %w", ErrUnreachable, c.unreached)
}

func (t *Transport) repeatable(req *http.Request) bool {
	return t.how.RetryUnsafe || idempotent(req.Method)
}

// buffers reports whether the request's body is read before an upstream is asked.
func (t *Transport) buffers(req *http.Request) bool {
	return t.how.ReplayBytes > 0 && hasBody(req) && t.repeatable(req) && req.ContentLength <= t.how.ReplayBytes
}

// idempotent reports whether RFC 9110 §9.2.2 defines the method so.
func idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// withoutUpgrade returns h as it can be sent by HTTP/2, which has no upgrades: a server may ignore one (RFC 9110 §7.8). http.Transport
// would refuse the request, which must not count against an upstream that never saw it.
func withoutUpgrade(h http.Header) http.Header {
	if h["Upgrade"] == nil {
		return h
	}
	h = h.Clone()
	delete(h, "Upgrade")
	delete(h, "Connection")
	return h
}

// withoutReplayHint returns h such that http.Transport does not take an Idempotency-Key for leave to
// repeat the request by itself: an upstream need not know that header. The lower-case spelling means
// the same on the wire and escapes its look-up.
func withoutReplayHint(h http.Header) http.Header {
	const key, xKey = "Idempotency-Key", "X-Idempotency-Key"
	if h[key] == nil && h[xKey] == nil {
		return h
	}
	h = h.Clone()
	for _, name := range []string{key, xKey} {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
	return h
}
