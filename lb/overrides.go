package lb

import (
	"net/http"
	"time"
)

const (
	// DefaultReplayBytes is the size up to which bodies are kept for a repeat.
	DefaultReplayBytes = 64 << 10
	// DefaultResponseTimeout is how long an upstream may take until its answer begins.
	DefaultResponseTimeout = 30 * time.Second
)

// Overrides is how a Transport sends requests; each route may have its own. Zero fields take the default given with them.
type Overrides struct {
	// Attempts is to how many further upstreams a request may go where one fails, those included that cannot be connected to.
	// 0: to all, each once. Negative: to none.
	Attempts int
	// RetryUnsafe says that any request here may be sent again although an upstream may have acted
	// on it already. Without it only idempotent methods are. Not for listeners that carry
	// bidirectional streams: repeating wants the body first.
	RetryUnsafe bool
	// RetryTimeouts says that a request which ResponseTimeout ended may be sent again wherever one whose
	// connection broke may be. Then an upstream that hangs costs a request that time and not its answer.
	RetryTimeouts bool
	// RetryStatuses are those of answers, such as 503, after which a request is sent again wherever one whose connection broke may
	// be. If no other upstream answers, the client gets the last such answer.
	RetryStatuses []int
	// ReplayBytes is the size up to which the body of a request that may be repeated is buffered.
	// A longer body is streamed, and its request not repeated once bytes of it were sent.
	// Default DefaultReplayBytes. Negative: none is buffered.
	ReplayBytes int64
	// ResponseTimeout bounds the wait for response headers. The time in which a connection is made or a streamed body is sent does
	// not count. Default DefaultResponseTimeout. Negative: no bound.
	ResponseTimeout time.Duration
	// Key derives the key that the pool's Policy gets. Nil means an empty key.
	Key func(*http.Request) string
	// Trace returns where to note how it went, for example a part of what the request's context holds anyway. It is called once per
	// request. Nil, and a function that returns nil: nothing is noted.
	Trace func(*http.Request) *Trace
}

func (o Overrides) withDefaults() Overrides {
	if o.ReplayBytes == 0 {
		o.ReplayBytes = DefaultReplayBytes
	}
	if o.ResponseTimeout == 0 {
		o.ResponseTimeout = DefaultResponseTimeout
	}
	return o
}

// Trace is how a Transport got the answer to one request. It is complete when RoundTrip returns.
type Trace struct {
	// Upstream is the address that answered, or was tried last; empty if there was none to try.
	Upstream string
	// Attempts is how many upstreams were tried.
	Attempts int
	// Took is how long the upstreams took, all that were tried, until an answer's headers or an error.
	Took time.Duration
}
