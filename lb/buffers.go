package lb

import (
	"net/http/httputil"
	"sync"
)

// NewBuffers returns a pool of the buffers through which a ReverseProxy copies answers. It is safe for concurrent use.
func NewBuffers() httputil.BufferPool { return new(copyBuffers) }

type copyBuffers struct{ pool sync.Pool }

const copyBufferSize = 32 << 10

// Get returns a buffer.
func (c *copyBuffers) Get() []byte {
	if b, ok := c.pool.Get().(*[copyBufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, copyBufferSize)
}

// Put takes a buffer back.
func (c *copyBuffers) Put(b []byte) { c.pool.Put((*[copyBufferSize]byte)(b)) }
