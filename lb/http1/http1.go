// Package http1 sends HTTP/1.1 requests over kept connections on the goroutine of the caller.
//
// http.Transport has two goroutines for each connection, to which a request and its answer are handed over by channels. That is a third of
// the processor time of a reverse proxy that does nothing else. Here the caller writes, and then reads. A goroutine is there only for as long as a
// request body that may not be at hand yet is sent. An idle connection holds neither goroutines nor buffers: whether its other end has closed it is asked
// before it is used again, and every few seconds.
//
// What is rare is left to http.Transport: Suits tells what is not. What comes back is read more strictly than by http.Transport, see readHead.
package http1

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config configures a Transport. All fields are required.
type Config struct {
	// Dial connects to a server in plain text, DialTLS by TLS, handshake included. The addresses are host:port. Their errors are returned as they are.
	Dial, DialTLS func(ctx context.Context, network, address string) (net.Conn, error)
	// IdleTimeout is how long a connection is kept that no request uses.
	IdleTimeout time.Duration
	// MaxIdlePerHost is how many connections to one server are kept that no request uses.
	MaxIdlePerHost int
	// MaxHeaderBytes bounds the header of an answer, together with those of interim answers (1xx) before it. Chunked bodies end in a trailer of as much.
	MaxHeaderBytes int
}

// Transport is an http.RoundTripper for the requests that Suits accepts. It is safe for concurrent use.
//
// Of the hooks of httptrace it calls Got1xxResponse. A request whose connection was used before, and ends without a byte of an answer, is sent again over
// another one if nothing of it was sent, or if its method is GET, HEAD, OPTIONS or TRACE: then it was most probably the server that
// did not want to keep the connection any more. Its body must be short then (see shortBody), or none.
type Transport struct {
	cfg Config

	messages sync.Pool // *message
	readers  sync.Pool // *bufio.Reader, of connections that are not idle
	pieces   sync.Pool // *[pieceSize]byte, of uploads

	mu     sync.Mutex
	idle   map[origin][]*conn // the one used last is at the end
	closed bool               // CloseIdleConnections was called after the last request
	sweeps *time.Timer        // nil: nothing is idle
}

// New returns a Transport. It does no I/O.
func New(cfg Config) *Transport {
	return &Transport{
		cfg: cfg, idle: map[origin][]*conn{}, messages: sync.Pool{New: newMessage}, readers: sync.Pool{New: newReader}, pieces: sync.Pool{New: newPiece},
	}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) { return t.Send(req, 0) }

// Send is RoundTrip, with a limit to the wait for the header of the answer: a TimeoutError. Its time begins when the request is sent, with its
// body, on a connection that is made by then. 0: no limit but the request's context, by whose cause it ends at once.
func (t *Transport) Send(req *http.Request, limit time.Duration) (*http.Response, error) {
	x := exchange{transport: t, req: req, ctx: req.Context(), limit: limit, content: bodyOf(req)}
	if x.ctx.Err() != nil {
		x.closeContent()
		return nil, context.Cause(x.ctx)
	}
	message := t.messages.Get().(*message) //nolint:errcheck // nothing else is put into it
	defer t.free(message)
	var err error
	if message.bytes, err = appendHead(message.bytes[:0], req); err != nil {
		x.closeContent()
		return nil, err
	}
	for {
		resp, err := x.attempt(message)
		if err == nil || !x.again {
			return resp, err
		}
	}
}

// origin is what connections are kept for.
type origin struct{ scheme, host string }

// TimeoutError says that no answer began in time. It is a net.Error.
type TimeoutError struct{ Limit time.Duration }

func (e *TimeoutError) Error() string { return "no answer within " + e.Limit.String() }

// Timeout implements net.Error.
func (*TimeoutError) Timeout() bool { return true }

// Temporary implements net.Error.
func (*TimeoutError) Temporary() bool { return true }
