package lb

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
)

// attempt is what one try at one upstream needs, in one piece of memory with the call if it is the first.
type attempt struct {
	upstream *Upstream
	url      url.URL
	ctx      waiting
	cancel   context.CancelCauseFunc // nil if nothing is limited
	body     countedBody
}

// attempt sends c to u, at which it is counted already.
func (t *Transport) attempt(u *Upstream, c *call) (*http.Response, error) {
	a := &c.first
	if a.upstream != nil {
		a = new(attempt)
	}
	a.upstream, a.url = u, *c.req.URL
	a.url.Scheme, a.url.Host = u.base.Scheme, u.base.Host
	ctx := c.req.Context()
	if limit := t.how.ResponseTimeout; limit > 0 {
		limited, cancel := context.WithCancelCause(ctx)
		a.cancel = cancel
		a.ctx = waiting{limited, t.patiences.begin(limit, cancel, c.held != nil)}
		ctx = &a.ctx
	}
	out := c.req.WithContext(ctx)
	out.URL, out.Header = &a.url, c.header
	switch {
	case c.replay != nil:
		body, err := c.replay()
		if err != nil {
			_ = t.patiences.end(a.ctx.turn) // there is another error
			a.end()
			return nil, &bodyError{err}
		}
		out.Body, out.GetBody = body, c.replay
	case c.held != nil:
		out.Body, out.GetBody = &lentBody{heldBody: c.held, turn: a.ctx.turn}, nil
	}
	resp, err := t.base.RoundTrip(out)
	if late := t.patiences.end(a.ctx.turn); late != nil {
		if err == nil {
			_ = resp.Body.Close() // what is left of it cannot be read
		}
		err = late
	}
	if err != nil {
		a.end()
		return nil, fmt.Errorf("send request to %s: %w", u.base.Host, err)
	}
	resp.Request = c.req
	resp.Body = a.count(resp.Body)
	return resp, nil
}

// end says that nothing of the attempt is left.
func (a *attempt) end() {
	a.upstream.inFlight.Add(-1)
	if a.cancel != nil {
		a.cancel(nil)
	}
}

// count wraps the body of the answer so that the attempt ends when it is closed. The connection of a 101 answer can
// still be written to and half-closed.
func (a *attempt) count(body io.ReadCloser) io.ReadCloser {
	if body == http.NoBody {
		a.end()
		return body
	}
	a.body = countedBody{ReadCloser: body, attempt: a}
	if conn, ok := body.(writeSide); ok {
		return struct {
			*countedBody
			writeSide
		}{&a.body, conn}
	}
	return &a.body
}

type writeSide interface {
	io.Writer
	CloseWrite() error
}

type countedBody struct {
	io.ReadCloser
	attempt *attempt
	done    atomic.Bool
}

// Close closes the body and ends the attempt once, however often it is called.
func (b *countedBody) Close() error {
	err := b.ReadCloser.Close()
	if !b.done.Swap(true) {
		b.attempt.end()
	}
	return err
}
