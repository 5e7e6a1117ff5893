package lb

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ErrUnreachable is what a Transport's error wraps when no upstream could be connected to: nothing of
// the request was sent to anybody.
var ErrUnreachable = errors.New("no upstream could be reached")

// ErrBusy is what a Transport's error wraps when every upstream that could be connected to has as many requests as it may
// (Target.MaxRequests): nothing of the request was sent to anybody.
var ErrBusy = errors.New("every upstream is busy")

// DefaultReplayBytes is the size up to which bodies are kept for a repeat.
const DefaultReplayBytes = 64 << 10

// TransportConfig configures a Transport. Zero fields take the default given with them.
type TransportConfig struct {
	// Pool holds the upstreams. Required.
	Pool *Pool
	// RetryUnsafe says that any request here may be sent again although an upstream may have acted
	// on it already. Without it only idempotent methods are. Not for listeners that carry
	// bidirectional streams: repeating wants the body first.
	RetryUnsafe bool
	// RetryTimeouts says that a request which ResponseTimeout ended may be sent again wherever one whose
	// connection broke may be. Then an upstream that hangs costs a request that time and not its answer.
	RetryTimeouts bool
	// ReplayBytes is the size up to which the body of a request that may be repeated is buffered.
	// A longer body is streamed, and its request not repeated once bytes of it were sent.
	// Default DefaultReplayBytes.
	ReplayBytes int64
	// DialTimeout bounds connecting to one upstream, TLS included. Default 1 s.
	DialTimeout time.Duration
	// ResponseTimeout bounds the wait for response headers after the request was written.
	// Default 30 s.
	ResponseTimeout time.Duration
	// TLS is for upstreams with https URLs. Nil means the host's roots.
	TLS *tls.Config
	// Key derives the key that the pool's Policy gets. Nil means an empty key.
	Key func(*http.Request) string
	// Now is the clock of the retry budget. Nil means time.Now.
	Now func() time.Time
}

// Transport is an http.RoundTripper that sends each request to an upstream of its pool and, where that
// fails, to others, each at most once. It replaces scheme and host of the request's URL and leaves its
// Host alone. It is safe for concurrent use.
//
// When connecting fails nothing was sent, so any request goes on to the next upstream, its body intact.
// When a connection breaks later, a request goes on only if its method is idempotent (RFC 9110 §9.2.2)
// or RetryUnsafe is set, if its body is absent or was buffered, and as far as the retry budget allows:
// a fifth of the requests, and 10 a second beyond that. A timeout after sending is not repeated unless
// RetryTimeouts is set.
type Transport struct {
	cfg    TransportConfig
	base   *http.Transport
	budget *budget
}

// NewTransport returns a Transport. It does no I/O.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	if cfg.Pool == nil {
		return nil, errors.New("transport: no pool")
	}
	if cfg.ReplayBytes < 0 || cfg.DialTimeout < 0 || cfg.ResponseTimeout < 0 {
		return nil, errors.New("transport: replay bytes and timeouts must not be negative")
	}
	if cfg.ReplayBytes == 0 {
		cfg.ReplayBytes = DefaultReplayBytes
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = time.Second
	}
	if cfg.ResponseTimeout == 0 {
		cfg.ResponseTimeout = 30 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Transport{cfg: cfg, base: newBase(cfg), budget: newBudget(cfg.Now)}, nil
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper. Its error wraps ErrUnreachable if no upstream could be
// connected to, ErrBusy if those that could have no room.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c, err := t.newCall(req)
	if err != nil {
		return nil, err
	}
	resp, err := t.send(c)
	if c.held != nil {
		c.held.settle()
	}
	return resp, err
}

func (t *Transport) send(c *call) (*http.Response, error) {
	t.budget.earn()
	key := ""
	if t.cfg.Key != nil {
		key = t.cfg.Key(c.req)
	}
	var tried []*Upstream
	var broken error // from an upstream that may have got the request
	var last error
	busy := false
	for u := t.cfg.Pool.pick(key, nil); u != nil; u = t.cfg.Pool.pick(key, tried) {
		if !u.take() {
			busy = true
			tried = append(tried, u)
			continue
		}
		if broken != nil && !t.budget.spend() {
			u.inFlight.Add(-1)
			break
		}
		resp, err := t.attempt(u, c)
		if err == nil {
			t.cfg.Pool.answered(c.req.Context(), u, resp.StatusCode < http.StatusInternalServerError)
			return resp, nil
		}
		sent, again := t.judge(u, c, err)
		if !again {
			return nil, err
		}
		last = err
		if sent {
			broken = err
		}
		tried = append(tried, u)
	}
	switch {
	case broken != nil:
		return nil, broken
	case busy:
		return nil, ErrBusy
	}
	return nil, fmt.Errorf("%w: %w", ErrUnreachable, last)
}

// judge decides what follows from a failed attempt: whether bytes of the request may have been sent,
// and whether another upstream may be tried.
func (t *Transport) judge(u *Upstream, c *call, err error) (sent, again bool) {
	ctx := c.req.Context()
	if ctx.Err() != nil {
		return true, false // given up by the caller; says nothing of the upstream
	}
	touched := false
	if c.held != nil {
		var clientErr error
		if touched, clientErr = c.held.state(); clientErr != nil {
			return true, false
		}
	}
	if ce, ok := errors.AsType[*connectError](err); ok {
		if !ce.local() {
			t.cfg.Pool.unreachable(ctx, u, ce)
		}
		return false, !touched
	}
	t.cfg.Pool.answered(ctx, u, false)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() && !t.cfg.RetryTimeouts {
		return true, false
	}
	return true, c.repeatable && !touched
}

// attempt sends c to u, at which it is counted already.
func (t *Transport) attempt(u *Upstream, c *call) (*http.Response, error) {
	out := new(http.Request)
	*out = *c.req
	out.Header = c.header
	target := *c.req.URL
	target.Scheme, target.Host = u.base.Scheme, u.base.Host
	out.URL = &target
	switch {
	case c.replay != nil:
		body, err := c.replay()
		if err != nil {
			u.inFlight.Add(-1)
			return nil, &bodyError{err}
		}
		out.Body, out.GetBody = body, c.replay
	case c.held != nil:
		out.Body, out.GetBody = c.held, nil
	}
	resp, err := t.base.RoundTrip(out)
	if err != nil {
		u.inFlight.Add(-1)
		return nil, fmt.Errorf("send request to %s: %w", u.base.Host, err)
	}
	resp.Request = c.req
	resp.Body = countDown(resp.Body, &u.inFlight)
	return resp, nil
}
