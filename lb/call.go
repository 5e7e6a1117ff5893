package lb

import (
	"io"
	"net/http"
	"strings"
)

// call is one request on its way through possibly several attempts. At most one of replay and held is
// set; neither means that there is no body.
type call struct {
	req        *http.Request
	header     http.Header
	repeatable bool // may be sent again after it was sent
	replay     func() (io.ReadCloser, error)
	held       *heldBody
}

func (t *Transport) newCall(req *http.Request) (*call, error) {
	c := &call{req: req, header: req.Header, repeatable: t.repeatable(req)}
	if !c.repeatable {
		c.header = withoutReplayHint(c.header)
	}
	if !hasBody(req) {
		return c, nil
	}
	rest := req.Body
	if t.buffers(req) {
		var err error
		if c.replay, rest, err = buffer(req.Body, t.cfg.ReplayBytes); err != nil {
			return nil, err
		}
	}
	if rest != nil {
		c.held = &heldBody{src: rest}
	}
	return c, nil
}

func (t *Transport) repeatable(req *http.Request) bool {
	return t.cfg.RetryUnsafe || idempotent(req.Method)
}

// buffers reports whether the request's body is read before an upstream is asked.
func (t *Transport) buffers(req *http.Request) bool {
	return hasBody(req) && t.repeatable(req) && req.ContentLength <= t.cfg.ReplayBytes
}

// idempotent reports whether RFC 9110 §9.2.2 defines the method so.
func idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
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
