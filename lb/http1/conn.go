package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const readBuffer = 4 << 10

func newReader() any { return bufio.NewReaderSize(nil, readBuffer) }

// conn is a connection. It belongs to one exchange at a time; only interrupt may be called by others meanwhile, and what an upload calls.
type conn struct {
	net.Conn

	transport *Transport
	origin    origin
	raw       syscall.RawConn      // below TLS; nil if nobody can be asked
	tls       *tls.ConnectionState // nil: plain text
	br        *bufio.Reader        // nil while idle
	probe     func(fd uintptr) bool
	silent    bool // what probe has found
	used      bool // for an exchange before this one
	since     time.Time

	mu    sync.Mutex
	cut   bool          // interrupted; never used again
	until time.Time     // when waiting for the header of an answer ends; zero: never
	limit time.Duration // that until follows from
	heard bool          // an answer has begun
	armed time.Time     // the deadline of the connection, maybe of an earlier exchange; zero: none
}

// connect returns an idle connection that is still good, or else a new one.
func (t *Transport) connect(ctx context.Context, to origin) (*conn, error) {
	for c := t.take(to); c != nil; c = t.take(to) {
		if now := time.Now(); now.Sub(c.since) < t.cfg.IdleTimeout && c.alive(now) {
			c.open()
			return c, nil
		}
		_ = c.Close() // nothing is sent on it any more
	}
	dial := t.cfg.Dial
	if to.scheme == "https" {
		dial = t.cfg.DialTLS
	}
	under, err := dial(ctx, "tcp", to.address())
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: under, transport: t, origin: to}
	if secured, ok := under.(*tls.Conn); ok {
		state := secured.ConnectionState()
		c.tls, under = &state, secured.NetConn()
	}
	if raw, ok := under.(syscall.Conn); ok {
		if c.raw, err = raw.SyscallConn(); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("connect to %s: %w", to.host, err)
		}
	}
	c.probe = c.peek
	c.open()
	return c, nil
}

// address is host:port.
func (o origin) address() string {
	if _, _, err := net.SplitHostPort(o.host); err == nil {
		return o.host
	}
	port := "80"
	if o.scheme == "https" {
		port = "443"
	}
	if o.host[0] == '[' {
		return o.host + ":" + port
	}
	return net.JoinHostPort(o.host, port)
}

func (c *conn) open() {
	c.br = c.transport.readers.Get().(*bufio.Reader) //nolint:errcheck // nothing else is put into it
	c.br.Reset(reader{c})
}

// shut closes the connection.
func (c *conn) shut() {
	_ = c.Close() // who is at the other end has no part in it any more
	c.release()
}

func (c *conn) release() {
	if c.br != nil {
		c.br.Reset(nil)
		c.transport.readers.Put(c.br)
		c.br = nil
	}
}

// alive reports whether the other end has neither closed the connection nor said anything on it that nobody asked for.
func (c *conn) alive(now time.Time) bool {
	if c.raw == nil {
		return true
	}
	if !c.armed.IsZero() && !now.Before(c.armed) { // a look would be too late
		if c.SetDeadline(time.Time{}) != nil {
			return false
		}
		c.armed = time.Time{}
	}
	c.silent = false
	return c.raw.Read(c.probe) == nil && c.silent && (c.tls == nil || c.nothingDecrypted())
}

// nothingDecrypted reports whether TLS, too, holds nothing that came behind the last answer: it takes more from the socket than the record it
// is asked for. Only what it has is read, because the deadline has passed.
func (c *conn) nothingDecrypted() bool {
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var one [1]byte
	n, err := c.Read(one[:])
	c.armed = time.Time{}
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.SetDeadline(c.armed) == nil
}

func (c *conn) peek(fd uintptr) bool {
	var one [1]byte
	_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	c.silent = errors.Is(err, syscall.EAGAIN)
	return true
}

// errCut says that the exchange was given up.
var errCut = errors.New("interrupted")

// interrupt ends whatever reads or writes, for good.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	_ = c.SetDeadline(time.Unix(1, 0)) // a closed connection is as good
}

// wait begins an exchange, in which an answer has to begin within limit; 0: at any time. The deadline of the connection is left as it is if it comes
// earlier, because setting it for each exchange costs more than going on when it has passed (see goOn). TLS cannot go on writing.
func (c *conn) wait(limit time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.limit, c.until = false, limit, time.Time{}
	now := time.Now()
	if limit > 0 {
		c.until = now.Add(limit)
	}
	early := c.armed.After(now) && (limit <= 0 || !c.armed.After(c.until))
	if c.cut || early && c.tls == nil || c.armed.IsZero() && limit <= 0 {
		return nil
	}
	return c.arm(c.until)
}

// waitAfterAll bounds the wait for the answer, if none has begun, from now on.
func (c *conn) waitAfterAll(limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard || c.cut || limit <= 0 {
		return
	}
	c.limit, c.until = limit, time.Now().Add(limit)
	_ = c.arm(c.until) // a closed connection is as good
}

// answered says that there is an answer, whose body may take any time.
func (c *conn) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.until = true, time.Time{}
}

// disarm says that the request may take any time.
func (c *conn) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until = (time.Time{}); !c.cut {
		_ = c.arm(c.until) // a closed connection is as good
	}
}

// goOn tells what it means that the deadline of the connection has passed: an error, or nothing. The caller need not have set it.
func (c *conn) goOn() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cut:
		return errCut
	case !c.until.IsZero() && !time.Now().Before(c.until):
		return &TimeoutError{c.limit}
	}
	return c.arm(c.until)
}

// arm sets the deadline of the connection. The caller holds mu.
func (c *conn) arm(until time.Time) error {
	c.armed = until
	return c.SetDeadline(until)
}

// reader reads from a connection, past deadlines of earlier exchanges.
type reader struct{ c *conn }

func (r reader) Read(p []byte) (int, error) {
	for {
		n, err := r.c.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := r.c.goOn(); err != nil {
			return 0, err
		}
	}
}

// write writes all of p, past deadlines of earlier exchanges. TLS has none of these, and cannot go on after one.
func (c *conn) write(p []byte) (n int, err error) {
	for {
		more, err := c.Write(p[n:])
		n += more
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if why := c.goOn(); why != nil {
			return n, why
		}
		if c.tls != nil {
			return n, err
		}
	}
}
