package lb

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"
)

const (
	idlePerUpstream = 1024             // kept connections; fewer would be closed and opened all the time under load
	idleTimeout     = 60 * time.Second // below what servers usually grant, so that we close first
	keepAlive       = 15 * time.Second
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

// newBase returns the HTTP/1.1 transport below Transport. Both of its dialers end in a connectError,
// TLS handshakes included.
func newBase(cfg TransportConfig) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: keepAlive}
	tlsDialer := &tls.Dialer{NetDialer: dialer, Config: cfg.TLS}
	marked := func(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			defer connecting(ctx)()
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, &connectError{err}
			}
			return conn, nil
		}
	}
	return &http.Transport{
		DialContext:           marked(dialer.DialContext),
		DialTLSContext:        marked(tlsDialer.DialContext),
		DisableCompression:    true, // what was negotiated is between client and upstream
		MaxIdleConnsPerHost:   idlePerUpstream,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
	}
}
