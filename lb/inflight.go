package lb

import (
	"io"
	"net/http"
	"sync/atomic"
)

// countDown wraps body so that n falls by one when it is closed. The connection of a 101 answer can
// still be written to and half-closed.
func countDown(body io.ReadCloser, n *atomic.Int64) io.ReadCloser {
	if body == http.NoBody {
		n.Add(-1)
		return body
	}
	counted := &countedBody{ReadCloser: body, n: n}
	if conn, ok := body.(writeSide); ok {
		return struct {
			*countedBody
			writeSide
		}{counted, conn}
	}
	return counted
}

type writeSide interface {
	io.Writer
	CloseWrite() error
}

type countedBody struct {
	io.ReadCloser
	n    *atomic.Int64
	done atomic.Bool
}

// Close closes the body and counts it once, however often it is called.
func (b *countedBody) Close() error {
	if !b.done.Swap(true) {
		b.n.Add(-1)
	}
	return b.ReadCloser.Close()
}
