package lb

import (
	"crypto/tls"
	"errors"
	"time"
)

// ErrUnreachable is what a Transport's error wraps when no upstream could be connected to: nothing of
// the request was sent to anybody.
var ErrUnreachable = errors.New("no upstream could be reached")

// ErrBusy is what a Transport's error wraps when every upstream that could be connected to has as many requests as it may
// (Target.MaxRequests): nothing of the request was sent to anybody.
var ErrBusy = errors.New("every upstream is busy")

// TransportConfig configures a Transport. Zero fields take the default given with them.
type TransportConfig struct {
	// Pool holds the upstreams. Required.
	Pool *Pool
	// Overrides say how requests are sent, unless With says it otherwise.
	Overrides Overrides
	// DialTimeout bounds connecting to one upstream, TLS included. Default 1 s.
	DialTimeout time.Duration
	// IdleTimeout is how long a connection is kept that no request uses. Default 60 s.
	IdleTimeout time.Duration
	// TLS is for upstreams with https URLs. Nil means the host's roots.
	TLS *tls.Config
	// HTTP2 says that the upstreams speak HTTP/2: by ALPN where their URLs are https, else by prior knowledge. Then gRPC passes, and
	// upgrades (WebSocket) do not.
	HTTP2 bool
	// Now is the clock of the retry budget and of Trace. Nil means time.Now.
	Now func() time.Time
}

// Transport is an http.RoundTripper that sends each request to an upstream of its pool and, where that
// fails, to others, each at most once. It replaces scheme and host of the request's URL and leaves its
// Host alone. It is safe for concurrent use.
//
// When connecting fails nothing was sent, so any request goes on to the next upstream, its body intact.
// When a connection breaks later, a request goes on only if its method is idempotent (RFC 9110 §9.2.2)
// or Overrides.RetryUnsafe is set, if its body is absent or was buffered, and as far as the retry budget allows:
// a fifth of the requests, and 10 a second beyond that. A timeout after sending is not repeated unless
// Overrides.RetryTimeouts is set, and an answer is one, whatever its status, unless Overrides.RetryStatuses names it.
type Transport struct {
	pool      *Pool
	bases     bases
	http2     bool
	budget    *budget
	patiences *patiences
	now       func() time.Time
	how       Overrides
}

// NewTransport returns a Transport. It does no I/O.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	if cfg.Pool == nil {
		return nil, errors.New("transport: no pool")
	}
	if cfg.DialTimeout < 0 || cfg.IdleTimeout < 0 {
		return nil, errors.New("transport: timeouts must not be negative")
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = time.Second
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = idleTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Transport{
		pool: cfg.Pool, bases: newBases(cfg), http2: cfg.HTTP2, budget: newBudget(cfg.Now), patiences: new(patiences),
		now: cfg.Now, how: cfg.Overrides.withDefaults(),
	}, nil
}

// With returns a Transport that sends requests as o says, over the pool, connections and retry budget of t. What of o is to
// be as in t is taken from t.Overrides.
func (t *Transport) With(o Overrides) *Transport {
	other := *t
	other.how = o.withDefaults()
	return &other
}

// Overrides returns how requests are sent.
func (t *Transport) Overrides() Overrides { return t.how }

// Pool returns the pool whose upstreams requests are sent to.
func (t *Transport) Pool() *Pool { return t.pool }

// CloseIdleConnections closes the connections that no request uses, for all that With made of t as well.
func (t *Transport) CloseIdleConnections() { t.bases.closeIdle() }
