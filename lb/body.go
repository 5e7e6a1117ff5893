package lb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// bodyError is a failure to read the request's body: the client's doing, not an upstream's.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return fmt.Sprintf("read request body: %v", e.err) }
func (e *bodyError) Unwrap() error { return e.err }

// heldBody lends one request body to one attempt after another, for as long as no attempt has read
// from it. It keeps the source open when a failed attempt closes it.
type heldBody struct {
	src io.ReadCloser

	mu      sync.Mutex
	touched bool
	closed  bool
	settled bool
	err     error
}

func (b *heldBody) Read(p []byte) (int, error) {
	b.touch()
	n, err := b.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// Close is called by the transport of an attempt; it reaches the source only once that attempt is the last.
func (b *heldBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed && b.settled {
		return nil
	}
	b.closed = true
	if b.settled {
		return b.src.Close()
	}
	return nil
}

// lentBody is a heldBody for one attempt, whose time counts from the end of the body.
type lentBody struct {
	*heldBody

	turn turn
	done atomic.Bool
}

// Close is called by the transport of the attempt when it has sent the body, or does not want it.
func (b *lentBody) Close() error {
	if !b.done.Swap(true) {
		b.turn.release()
	}
	return b.heldBody.Close()
}

// lend begins another attempt, which the Close of an earlier one says nothing of.
func (b *heldBody) lend() *heldBody {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = false
	return b
}

// touch says that an attempt has begun to send the body, or is about to.
func (b *heldBody) touch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touched = true
}

// settle says that no further attempt follows.
func (b *heldBody) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled = true
	if b.closed {
		_ = b.src.Close() // the attempt's own result is what the caller needs
	}
}

// state reports whether an attempt has read from the body, and the error that reading met.
func (b *heldBody) state() (touched bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.touched, b.err
}

// buffer reads the body of req up to limit bytes. It returns a source of fresh copies if that is all
// of it, else a body that begins with what was read.
func buffer(body io.ReadCloser, limit int64) (replay func() (io.ReadCloser, error), rest io.ReadCloser, err error) {
	head, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		_ = body.Close() // the read error is what the caller needs
		return nil, nil, &bodyError{err}
	}
	if int64(len(head)) > limit {
		return nil, struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), body), body}, nil
	}
	if err := body.Close(); err != nil {
		return nil, nil, &bodyError{err}
	}
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(head)), nil }, nil, nil
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }
