package sdkredis

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"syscall"
)

const (
	// maxText bounds what a reply says that is no value, such as an error, in bytes.
	maxText = 4 << 10
	// maxElements bounds the array with which a Sentinel names the primary.
	maxElements = 16
)

// errReply is the end of a connection to something that is no Redis, or no honest one.
var errReply = errors.New("the reply is larger than anything that was asked for")

// boundedConn is a connection whose replies announce no more than was asked for. The library makes room for whatever a reply announces before
// it comes, and panics if that is less than nothing or more than there can be.
type boundedConn struct {
	net.Conn
	elements int64 // how many an array may have; 0: no arrays, which could be in one another without end
	line     []byte
	value    int64 // how many bytes of a value are still to come, its line end included
}

// bound returns conn with its replies bounded.
func bound(conn net.Conn, elements int64) net.Conn {
	c := &boundedConn{Conn: conn, elements: elements}
	if raw, ok := conn.(syscall.Conn); ok {
		return &systemConn{c, raw}
	}
	return c
}

// systemConn is a boundedConn that the library can look at, to find out whether it is still open after it lay in the pool.
type systemConn struct {
	*boundedConn
	raw syscall.Conn
}

// SyscallConn implements syscall.Conn.
func (c *systemConn) SyscallConn() (syscall.RawConn, error) { return c.raw.SyscallConn() }

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bad := c.check(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

// check follows the replies of RESP2: lines, of which some announce a value behind them.
func (c *boundedConn) check(text []byte) error {
	for len(text) > 0 {
		if c.value > 0 {
			passed := min(c.value, int64(len(text)))
			c.value, text = c.value-passed, text[passed:]
			continue
		}
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		if len(c.line)+len(line) > maxText {
			return errReply
		}
		c.line, text = append(c.line, line...), rest
		if !whole {
			return nil
		}
		if err := c.announced(); err != nil {
			return err
		}
		c.line = c.line[:0]
	}
	return nil
}

// announced takes the line that is complete.
func (c *boundedConn) announced() error {
	if len(c.line) == 0 || c.line[0] != '$' && c.line[0] != '*' {
		return nil
	}
	number, err := strconv.ParseInt(string(bytes.TrimSuffix(c.line[1:], []byte{'\r'})), 10, 64)
	switch {
	case err != nil || number < -1:
		return errReply
	case number == -1: // nothing
	case c.line[0] == '*' && number > c.elements, number > maxValue+1:
		return errReply
	case c.line[0] == '$':
		c.value = number + int64(len("\r\n"))
	}
	return nil
}
