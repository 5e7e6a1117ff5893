package http1

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

var errBodyClosed = errors.New("read of a body that is closed")

// body is what an answer is read from. When all of it was read its connection is free for others.
type body struct {
	exchange exchange
	over     bool // the exchange is

	source  io.Reader
	left    int64 // to be read; -1: as much as there is
	chunked bool
	ends    bool           // the connection does, with it
	answer  *http.Response // whose trailer follows the chunks

	mu      sync.Mutex
	reading bool
	closed  bool
	err     error // of all reads from now on
}

// Read implements io.Reader. Its error is the cause of the request's context if that has ended before the body.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	switch {
	case b.closed:
		b.mu.Unlock()
		return 0, errBodyClosed
	case b.err != nil:
		defer b.mu.Unlock()
		return 0, b.err
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	switch {
	case err != nil:
		b.err = err
		b.finish(errors.Is(err, io.EOF) && !b.closed) // Close has interrupted the connection
	case b.closed:
		b.finish(false)
	}
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.left >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.source.Read(p)
	if b.left < 0 {
		if b.chunked && errors.Is(err, io.EOF) {
			if err = b.readTrailer(); err == nil {
				err = io.EOF
			}
		}
	} else {
		b.left -= int64(n)
		switch {
		case b.left == 0:
			return n, io.EOF
		case err != nil:
			err = ended(err)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.exchange.fault(err)
	}
	return n, err
}

// Close implements io.Closer. The connection is closed unless the rest of the body has been received.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
	case b.reading:
		b.exchange.conn.interrupt() // who reads finishes
	case !b.over:
		b.finish(b.drain())
	}
	b.closed = true
	return nil
}

// drain passes over the rest of the body if that has been received.
func (b *body) drain() bool {
	if b.left < 0 || b.left > int64(b.exchange.conn.br.Buffered()) {
		return false
	}
	_, err := b.exchange.conn.br.Discard(int(b.left))
	return err == nil
}

// finish gives the connection back, if the body came to its end, else it closes it. The caller holds mu.
func (b *body) finish(whole bool) {
	if !b.over {
		b.over = true
		b.exchange.finish(whole && !b.ends)
	}
}
