package lb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/countersign/countersign/lb/http1"
)

const (
	idlePerUpstream = 1024             // kept connections; fewer would be closed and opened all the time under load
	idleTimeout     = 60 * time.Second // below what servers usually grant, so that we close first
	keepAlive       = 15 * time.Second
	// An upstream that answers by more is broken, and its answer an error.
	maxResponseHeader = 256 << 10
	// An HTTP/2 connection that is silent for pingAfter is asked whether it still works, and given up after pingTimeout: its requests have
	// no other way to notice.
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// connectError is a failure before any byte of a request was sent.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// local reports whether this host, and not the upstream, is why no connection came about.
func (e *connectError) local() bool {
	return errors.Is(e.err, syscall.EMFILE) || errors.Is(e.err, syscall.ENFILE) ||
		errors.Is(e.err, syscall.EADDRNOTAVAIL) || errors.Is(e.err, syscall.ENOBUFS)
}

// bases are the transports below Transport.
type bases struct {
	plain *http1.Transport // nil: the upstreams speak HTTP/2
	rest  *http.Transport  // for what plain does not do
}

func (b bases) closeIdle() {
	if b.plain != nil {
		b.plain.CloseIdleConnections()
	}
	b.rest.CloseIdleConnections()
}

// newBases returns the transports below Transport. Their dialers end in a connectError, TLS handshakes included.
func newBases(cfg TransportConfig) bases {
	dialer := &net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: keepAlive}
	tlsDialer := &tls.Dialer{NetDialer: dialer, Config: clientTLS(cfg.TLS, cfg.HTTP2)}
	dialTLS := tlsDialer.DialContext
	if cfg.HTTP2 {
		dialTLS = negotiated(dialTLS)
	}
	marked := func(dial dialFunc) dialFunc {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			defer connecting(ctx)()
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, &connectError{err}
			}
			return conn, nil
		}
	}
	b := bases{rest: &http.Transport{
		DialContext:           marked(dialer.DialContext),
		DialTLSContext:        marked(dialTLS),
		DisableCompression:    true, // what was negotiated is between client and upstream
		MaxIdleConnsPerHost:   idlePerUpstream,
		IdleConnTimeout:       cfg.IdleTimeout,
		ExpectContinueTimeout: time.Second,

		MaxResponseHeaderBytes: maxResponseHeader,
		Protocols:              protocols(cfg.HTTP2),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}}
	if !cfg.HTTP2 {
		b.plain = http1.New(http1.Config{
			Dial: b.rest.DialContext, DialTLS: b.rest.DialTLSContext,
			IdleTimeout: cfg.IdleTimeout, MaxIdlePerHost: idlePerUpstream, MaxHeaderBytes: maxResponseHeader,
		})
	}
	return b
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// negotiated refuses connections whose other end does not speak HTTP/2: http.Transport would go on in HTTP/1.1.
func negotiated(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if secured, ok := conn.(*tls.Conn); !ok || secured.ConnectionState().NegotiatedProtocol != alpnHTTP2 {
			_ = conn.Close() // it is of no use
			return nil, fmt.Errorf("connect to %s: it does not speak HTTP/2", addr)
		}
		return conn, nil
	}
}

const alpnHTTP2 = "h2"

// protocols are either HTTP/2, with TLS or by prior knowledge, or HTTP/1.1.
func protocols(http2 bool) *http.Protocols {
	all := new(http.Protocols)
	all.SetHTTP1(!http2)
	all.SetHTTP2(http2)
	all.SetUnencryptedHTTP2(http2)
	return all
}

// clientTLS returns given, or what is usual, such that it offers the protocol.
func clientTLS(given *tls.Config, http2 bool) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if given != nil {
		cfg = given.Clone()
	}
	if http2 {
		cfg.NextProtos = []string{alpnHTTP2}
	}
	return cfg
}
