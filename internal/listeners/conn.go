package listeners

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// writeStep is how much of an answer must go within Limits.Write.
const writeStep = 64 << 10

// conn is a connection that is counted, and whose writes must get on.
type conn struct {
	net.Conn
	generation *generation
	patience   time.Duration
	cut        func()       // ends a stream's context; nil for HTTP
	moved      atomic.Int64 // when the write deadline was last moved, in nanoseconds since the generation began; 0: not yet
	state      atomic.Int32 // an http.ConnState
	closed     atomic.Bool
}

// Write implements net.Conn. It moves the deadline on as bytes go.
func (c *conn) Write(p []byte) (n int, err error) {
	for {
		c.extend()
		step, err := c.Conn.Write(p[n:min(len(p), n+writeStep)])
		n += step
		if err != nil || n >= len(p) {
			return n, err //nolint:wrapcheck // net/http looks at it
		}
	}
}

// extend moves the write deadline, unless that was done a moment ago.
func (c *conn) extend() {
	const slack = 10 // a client may lose this part of its time by that
	now := time.Since(c.generation.began)
	if moved := time.Duration(c.moved.Load()); moved != 0 && now-moved < c.patience/slack {
		return
	}
	c.moved.Store(int64(now))
	_ = c.Conn.SetWriteDeadline(time.Now().Add(c.patience)) // the write itself will tell
}

// SetDeadline implements net.Conn: net/http lifts all deadlines when a connection is upgraded.
func (c *conn) SetDeadline(t time.Time) error {
	c.moved.Store(0)
	return c.Conn.SetDeadline(t) //nolint:wrapcheck // net/http looks at it
}

// SetWriteDeadline implements net.Conn. net/http lifts the deadline after every request, which costs as much as setting it again for the
// next: ours may stay, since only writes come to feel it, and each moves it first.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() && c.moved.Load() != 0 {
		return nil
	}
	c.moved.Store(0)
	return c.Conn.SetWriteDeadline(t) //nolint:wrapcheck // net/http looks at it
}

// CloseWrite ends one direction, as net/http does before it closes a connection on which more may come.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("close one direction of %T: it cannot", c.Conn)
	}
	return half.CloseWrite() //nolint:wrapcheck // net/http looks at it
}

// Close implements net.Conn and counts the connection out, once.
func (c *conn) Close() error {
	err := c.Conn.Close()
	if !c.closed.Swap(true) {
		c.enter(http.StateClosed)
		c.generation.gone(c)
	}
	return err //nolint:wrapcheck // net/http looks at it
}

// connState is the http.Server's. What it passes may be wrapped, by TLS for one.
func connState(c net.Conn, state http.ConnState) {
	for {
		switch wrapped := c.(type) {
		case *conn:
			wrapped.enter(state)
			return
		case interface{ NetConn() net.Conn }:
			c = wrapped.NetConn()
		default:
			return
		}
	}
}

func (c *conn) enter(state http.ConnState) {
	before := http.ConnState(c.state.Swap(int32(state))) //nolint:gosec // G115: a handful of states
	switch {
	case before == state:
	case before == http.StateIdle:
		c.generation.l.idle.Add(-1)
	case state == http.StateIdle:
		c.generation.l.idle.Add(1)
	}
}
