package httpx

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// guarded is a connection on which net/http is shown no request whose end can be understood in two ways. net/http answers the
// error of such a read by 400 and closes, after what was pipelined before it was answered.
type guarded struct {
	net.Conn
	log     *slog.Logger
	framing framing
	refused error
	fault   atomic.Pointer[error] // for whoever serves the request
	linger  atomic.Bool
}

// Read is called by one goroutine at a time, as net/http does.
func (c *guarded) Read(p []byte) (int, error) {
	if c.refused != nil {
		return c.readRefused(p)
	}
	n, err := c.Conn.Read(p)
	if err != nil && len(p) > 1 && errors.Is(err, os.ErrDeadlineExceeded) {
		c.note(err)
	}
	if n <= 0 || c.framing.at == beyond {
		return n, err
	}
	good, fault := c.framing.scan(p[:n])
	if fault == nil {
		return n, err
	}
	c.refused = fault
	c.note(fault)
	c.log.Debug("request refused", slog.Any("error", fault), slog.String("remote_addr", c.RemoteAddr().String()))
	if good > 0 {
		return good, nil
	}
	return c.readRefused(p)
}

// note is apart from Read, which would else allocate whatever happens.
func (c *guarded) note(err error) { c.fault.Store(&err) }

// readRefused ends the reading. A read of one byte is how net/http watches for the end of the connection while a handler runs: an
// error would cancel the request that is being answered, which came before the fault.
func (c *guarded) readRefused(p []byte) (int, error) {
	if len(p) != 1 {
		c.linger.Store(true)
		return 0, c.refused
	}
	var unread [512]byte
	for {
		if _, err := c.Conn.Read(unread[:]); err != nil {
			return 0, err
		}
	}
}

// connKey is where the context of a request has its connection.
type connKey struct{}

// ReadFault returns what is wrong with the request of ctx though its client is still there: ErrFraming, or os.ErrDeadlineExceeded if it
// did not come in time. net/http cancels the context of a request that it cannot read on, just as if the client had gone, and that may be
// known before the error of its body is. It returns nil if nothing is wrong, or ctx is not of an HTTP/1 request under [Serve].
func ReadFault(ctx context.Context) error {
	conn, ok := ctx.Value(connKey{}).(interface{ readFault() error })
	if !ok {
		return nil
	}
	return conn.readFault()
}

func (c *guarded) readFault() error {
	if fault := c.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// Close lets a caller that was refused read why: closing on unread data would reset the connection, and the answer with it.
func (c *guarded) Close() error {
	if c.linger.Swap(false) {
		const patience, most = 500 * time.Millisecond, 256 << 10
		if c.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(patience)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, most)
		}
	}
	return c.Conn.Close()
}

// CloseWrite is what net/http looks for when it refuses a header that is too long.
func (c *guarded) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// NetConn returns what is guarded, as that of a *tls.Conn.
func (c *guarded) NetConn() net.Conn { return c.Conn }

// hijack is called when the connection stops being HTTP.
func (c *guarded) hijack() { c.framing.at = beyond }

// guardedTCP is in plain text.
type guardedTCP struct{ guarded }

// ReadFrom lets the kernel copy files and, after an upgrade, connections.
func (c *guardedTCP) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// guardListener guards the connections of a listener in plain text.
type guardListener struct {
	net.Listener
	log *slog.Logger
}

func (l guardListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedTCP{guarded{Conn: conn, log: l.log}}, nil
}

// watchHijacks is an http.Server.ConnState before next, which may be nil.
func watchHijacks(next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(conn net.Conn, state http.ConnState) {
		if c, ok := conn.(interface{ hijack() }); ok && state == http.StateHijacked {
			c.hijack()
		}
		if next != nil {
			next(conn, state)
		}
	}
}

// guard is a listener whose connections server serves guarded.
func guard(ctx context.Context, listener net.Listener, server *http.Server, log *slog.Logger) net.Listener {
	server.ConnState = watchHijacks(server.ConnState)
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	if server.TLSConfig == nil {
		return guardListener{listener, log}
	}
	return guardTLS(ctx, listener, server, log)
}
