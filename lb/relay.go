package lb

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// chunk is as large as a record of TLS, and larger than most requests.
type chunk [16 << 10]byte

// chunks are used again by all connections of a Stream.
type chunks struct{ pool sync.Pool }

func (c *chunks) take() *chunk {
	if b, ok := c.pool.Get().(*chunk); ok {
		return b
	}
	return new(chunk)
}

func (c *chunks) put(b *chunk) { c.pool.Put(b) }

// relay passes on what source sends to sink. It returns how much that was, and nil when source has ended.
//
// Messages are read and written. io.Copy, which has the kernel splice, takes more processor time for those, and two pipes for a connection even while
// that is silent; for bulk it takes a quarter. So it goes on once a chunk is full. While nothing comes there is neither chunk nor pipe before that.
func (c *chunks) relay(sink, source net.Conn) (n int64, err error) {
	from, ok := source.(syscall.Conn)
	if !ok {
		return io.Copy(sink, source)
	}
	raw, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	in := receiver{chunks: c}
	ready := in.receive
	for {
		if err := raw.Read(ready); err != nil {
			return n, err
		}
		if in.err != nil || in.n == 0 {
			return n, in.err
		}
		full := in.n == len(in.chunk)
		written, err := sink.Write(in.chunk[:in.n])
		in.done()
		n += int64(written)
		switch {
		case err != nil:
			return n, err
		case full:
			more, err := io.Copy(sink, source)
			return n + more, err
		}
	}
}

// receiver receives from a socket, and takes a chunk when there is something.
type receiver struct {
	chunks *chunks
	chunk  *chunk // nil: nothing was received
	n      int    // so much; 0 without err: the other end has ended
	err    error
}

// receive is for syscall.RawConn: it returns false when there is nothing yet.
func (r *receiver) receive(fd uintptr) bool {
	r.chunk = r.chunks.take()
	for {
		r.n, r.err = syscall.Read(int(fd), r.chunk[:])
		switch {
		case r.n > 0:
			return true
		case errors.Is(r.err, syscall.EAGAIN):
			r.done()
			return false
		case !errors.Is(r.err, syscall.EINTR):
			r.done()
			return true
		}
	}
}

func (r *receiver) done() {
	r.chunks.put(r.chunk)
	r.chunk = nil
}
