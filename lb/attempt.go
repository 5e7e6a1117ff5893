package lb

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/countersign/countersign/lb/http1"
)

// attempt is what one try at one upstream needs, in one piece of memory with the call if it is the first.
type attempt struct {
	upstream *Upstream
	url      url.URL
	out      http.Request
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
	a.out = *c.req
	a.out.URL, a.out.Header = &a.url, c.header
	if c.replay != nil {
		body, err := c.replay()
		if err != nil {
			a.end()
			return nil, &bodyError{err}
		}
		a.out.Body, a.out.GetBody = body, c.replay
	}
	var resp *http.Response
	var err error
	if t.bases.plain != nil && http1.Suits(&a.out) {
		if c.held != nil {
			a.out.Body, a.out.GetBody = c.held.lend(), nil
		}
		resp, err = t.bases.plain.Send(&a.out, max(0, t.how.ResponseTimeout))
		if err == nil && c.held != nil {
			c.held.touch() // an answer may come before the body's goroutine runs
		}
	} else {
		resp, err = t.roundTrip(c, a)
	}
	if err != nil {
		a.end()
		return nil, fmt.Errorf("send request to %s: %w", u.base.Host, err)
	}
	resp.Request = c.req
	resp.Body = a.count(resp.Body)
	return resp, nil
}

// roundTrip is by http.Transport.
func (t *Transport) roundTrip(c *call, a *attempt) (*http.Response, error) {
	ctx := c.req.Context()
	if limit := t.how.ResponseTimeout; limit > 0 {
		limited, cancel := context.WithCancelCause(ctx)
		a.cancel = cancel
		a.ctx = waiting{limited, t.patiences.begin(limit, cancel, c.held != nil)}
		ctx = &a.ctx
	}
	out := a.out.WithContext(ctx)
	if c.held != nil {
		out.Body, out.GetBody = &lentBody{heldBody: c.held.lend(), turn: a.ctx.turn}, nil
	}
	resp, err := t.bases.rest.RoundTrip(out)
	if late := t.patiences.end(a.ctx.turn); late != nil {
		if err == nil {
			_ = resp.Body.Close() // what is left of it cannot be read
		}
		return nil, late
	}
	return resp, err
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
