package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	transport *Transport
	req       *http.Request
	ctx       context.Context //nolint:containedctx // the request's
	limit     time.Duration
	content   io.ReadCloser // the body of the request; nil: there is none, or none any more

	conn   *conn
	stop   func() bool // says that the end of ctx is nothing to the connection any more; nil: it never was
	upload *upload     // nil: all was sent at once
	again  bool        // the attempt failed for no fault of the request or of the server
}

// earlyAnswer is for how long an answer is awaited that may have come before the server stopped to read the request.
const earlyAnswer = time.Second

// bodyOf returns nil if there is none.
func bodyOf(req *http.Request) io.ReadCloser {
	if req.Body == http.NoBody {
		return nil
	}
	return req.Body
}

// closeContent closes the request's body, once.
func (x *exchange) closeContent() {
	if x.content != nil {
		_ = x.content.Close() // who made it knows what that means
		x.content = nil
	}
}

// attempt sends the request over one connection. Unless it is to be tried again, the request's body has been closed or will be.
func (x *exchange) attempt(m *message) (*http.Response, error) {
	var err error
	x.again, x.stop, x.upload = false, nil, nil
	if x.conn, err = x.transport.connect(x.ctx, origin{x.req.URL.Scheme, x.req.URL.Host}); err != nil {
		x.closeContent()
		return nil, x.fault(err)
	}
	if short := x.req.ContentLength; x.content != nil && short > 0 && short <= shortBody {
		if err := x.load(m); err != nil {
			x.transport.keep(x.conn) // nothing was sent
			return nil, x.fault(err)
		}
		if x.again = !x.conn.alive(time.Now()); x.again { // the body may have taken its time
			x.conn.shut()
			return nil, errClosed
		}
	}
	if x.ctx.Done() != nil {
		x.stop = context.AfterFunc(x.ctx, x.conn.interrupt)
	}
	a, err := x.talk(m.bytes)
	if err != nil {
		x.again = x.again && x.ctx.Err() == nil
		x.finish(false)
		x.abandon()
		return nil, x.fault(err)
	}
	x.closeContent() // which is still there if the server had enough of the header
	if a.Body == http.NoBody {
		x.finish(!a.ends)
		return &a.Response, nil
	}
	a.body.exchange, a.body.ends, a.Body = *x, a.ends, &a.body
	return &a.Response, nil
}

var errClosed = errors.New("the server has closed the connection")

// talk sends what is sent at once, has the rest sent, and reads the header of the answer.
func (x *exchange) talk(first []byte) (*answer, error) {
	c := x.conn
	if err := c.wait(x.limit); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	n, sent := c.write(first)
	switch {
	case sent == nil:
		x.begin()
	case isGivenUp(sent):
		return nil, sent
	case n == 0 && c.used:
		x.again = true
		return nil, sent
	default: // there may be an answer all the same
		c.waitAfterAll(earlyAnswer)
	}
	if _, err := c.br.Peek(1); err != nil {
		x.again = c.used && x.content == nil && x.upload == nil && isSafe(x.req.Method) && !isGivenUp(err)
		return nil, firstOf(sent, fmt.Errorf("read answer: %w", ended(err)))
	}
	a, err := x.readAnswer()
	if err != nil {
		return nil, firstOf(sent, err)
	}
	c.answered()
	a.ends = a.ends || sent != nil
	return a, nil
}

func firstOf(sent, received error) error {
	if sent != nil {
		return fmt.Errorf("send request: %w", sent)
	}
	return received
}

// isSafe tells of methods by which nothing is changed (RFC 9110 §9.2.1).
func isSafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// isGivenUp tells errors of ours from those of the connection.
func isGivenUp(err error) bool {
	_, late := errors.AsType[*TimeoutError](err)
	return late || errors.Is(err, errCut)
}

// fault is what the caller is told in place of err: the end of the request's context, or the failure to read its body, come first.
func (x *exchange) fault(err error) error {
	if x.ctx.Err() != nil {
		return context.Cause(x.ctx)
	}
	if x.upload != nil {
		return x.upload.fault(err)
	}
	return err
}

// finish says that the connection is not needed any more. It is kept for others if all of the answer was read and all of the request sent.
func (x *exchange) finish(keep bool) {
	c := x.conn
	if x.stop != nil && !x.stop() {
		keep = false // it is being interrupted
	}
	if keep && x.upload != nil && !x.upload.complete() {
		keep = false
	}
	if keep && c.br.Buffered() == 0 { // nobody asked for more
		x.transport.keep(c)
		return
	}
	c.shut()
}
