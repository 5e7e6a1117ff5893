package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// guardedTLS speaks HTTP/1 over TLS. net/http fills in Request.TLS by its ConnectionState.
type guardedTLS struct {
	guarded
	state tls.ConnectionState
}

func (c *guardedTLS) ConnectionState() tls.ConnectionState { return c.state }

// tlsListener accepts connections whose handshake is over: only then is it known whether they are to be guarded, and net/http
// serves HTTP/2 only on a bare *tls.Conn.
type tlsListener struct {
	net.Listener
	config  *tls.Config
	limit   time.Duration // of a handshake
	log     *slog.Logger
	ready   chan accepted
	ended   <-chan struct{}
	end     context.CancelFunc
	running sync.WaitGroup
}

type accepted struct {
	conn net.Conn
	err  error
}

func guardTLS(ctx context.Context, listener net.Listener, server *http.Server, log *slog.Logger) net.Listener {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // while it drains, the server still accepts
	l := &tlsListener{
		Listener: listener, config: server.TLSConfig.Clone(), limit: server.ReadHeaderTimeout, log: log,
		ready: make(chan accepted), ended: ctx.Done(), end: end,
	}
	l.running.Go(func() { l.accept(ctx) })
	return l
}

// Close waits for the handshakes that it breaks off.
func (l *tlsListener) Close() error {
	l.end()
	err := l.Listener.Close()
	l.running.Wait()
	return err
}

func (l *tlsListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *tlsListener) accept(ctx context.Context) {
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			l.running.Go(func() { l.handshake(ctx, conn) })
			continue
		}
		select {
		case l.ready <- accepted{err: err}: // net/http knows which errors pass, and waits
		case <-ctx.Done():
			return
		}
	}
}

func (l *tlsListener) handshake(ctx context.Context, conn net.Conn) {
	secure := tls.Server(conn, l.config)
	if err := l.shake(ctx, secure); err != nil {
		answerPlain(err)
		_ = conn.Close()
		l.log.DebugContext(ctx, "TLS handshake failed", slog.Any("error", err), slog.String("remote_addr", conn.RemoteAddr().String()))
		return
	}
	a := accepted{conn: secure}
	if state := secure.ConnectionState(); state.NegotiatedProtocol != "h2" {
		a.conn = &guardedTLS{guarded{Conn: secure, log: l.log}, state}
	}
	select {
	case l.ready <- a:
	case <-ctx.Done():
		_ = conn.Close()
	}
}

func (l *tlsListener) shake(ctx context.Context, conn *tls.Conn) error {
	if l.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.limit)
		defer cancel()
	}
	return conn.HandshakeContext(ctx)
}

// answerPlain tells whoever speaks HTTP in plain text, as net/http does.
func answerPlain(err error) {
	var plain tls.RecordHeaderError
	if !errors.As(err, &plain) || plain.Conn == nil {
		return
	}
	switch string(plain.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}
