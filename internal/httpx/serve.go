package httpx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServeConfig says how a listener is served. Listener, Handler and Log are required; a zero limit is its default. A
// negative timeout is none: for what forwards streams, and cannot extend its deadlines as it goes.
type ServeConfig struct {
	Listener     net.Listener
	Handler      http.Handler
	Certificates *Certificates // nil: plain HTTP
	// ClientCertificates asks clients for a certificate, any one: who is behind it is for the handler to find out. Only with Certificates.
	ClientCertificates bool
	Log                *slog.Logger

	ReadHeaderTimeout time.Duration // 5 s
	ReadTimeout       time.Duration // 15 s, of a whole request
	WriteTimeout      time.Duration // 30 s, from the end of the request's headers
	IdleTimeout       time.Duration // 2 min, between requests of a connection
	MaxHeaderBytes    int           // 32 KiB; more is answered by 431

	// ConnState is an http.Server's. May be nil.
	ConnState func(net.Conn, http.ConnState)

	// Draining is called when the end begins, while requests are still accepted: it makes the listener unready and ends
	// streams. It must not block. May be nil.
	Draining func()
	// DrainDelay is how long requests are still accepted after that, so that load balancers notice. 0: not at all.
	DrainDelay time.Duration
	// DrainTimeout bounds how long requests in flight may take to finish. 10 s.
	DrainTimeout time.Duration
}

// The defaults of ServeConfig.
const (
	defaultReadHeaderTimeout = 5 * time.Second
	defaultReadTimeout       = 15 * time.Second
	defaultWriteTimeout      = 30 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
	defaultMaxHeaderBytes    = 32 << 10
	defaultDrainTimeout      = 10 * time.Second
)

// Serve serves HTTP/1.1 and HTTP/2 (over TLS by ALPN, in plain text by prior knowledge) until ctx ends, and then drains. It
// closes the listener. It returns nil after a complete drain, and an error if requests had to be cut off.
//
// HTTP/1 requests whose end can be understood in two ways are answered by 400 and the end of the connection; within a body they are
// ErrFraming to who reads it. Requests of HTTP/2 that HTTP/1.1 has no words for are 400 too.
func Serve(ctx context.Context, c ServeConfig) error {
	server := newServer(ctx, c)
	failed := make(chan error, 1)
	listener := guard(ctx, c.Listener, server, c.Log)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", c.Listener.Addr(), err)
	case <-ctx.Done():
	}
	err := drain(server, c, failed)
	if ended := <-failed; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve %s: %w", c.Listener.Addr(), ended))
	}
	return err
}

func newServer(ctx context.Context, c ServeConfig) *http.Server {
	server := &http.Server{
		Handler:           inLines(c.Handler),
		ReadHeaderTimeout: cmp.Or(c.ReadHeaderTimeout, defaultReadHeaderTimeout),
		ReadTimeout:       cmp.Or(c.ReadTimeout, defaultReadTimeout),
		WriteTimeout:      cmp.Or(c.WriteTimeout, defaultWriteTimeout),
		IdleTimeout:       cmp.Or(c.IdleTimeout, defaultIdleTimeout),
		MaxHeaderBytes:    cmp.Or(c.MaxHeaderBytes, defaultMaxHeaderBytes),
		ConnState:         c.ConnState,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), // broken connections, bad handshakes
		Protocols:         new(http.Protocols),
		// Requests outlive the signal that ends the server: they are drained, not cancelled.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	server.Protocols.SetHTTP1(true)
	if c.Certificates != nil {
		server.Protocols.SetHTTP2(true)
		server.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: c.Certificates.Get, NextProtos: []string{"h2", "http/1.1"},
		}
		if c.ClientCertificates {
			server.TLSConfig.ClientAuth = tls.RequestClientCert
		}
	} else {
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	return server
}

// drain ends the server. failed is put back if the server fails by itself meanwhile.
func drain(server *http.Server, c ServeConfig, failed chan error) error {
	if c.Draining != nil {
		c.Draining()
	}
	if c.DrainDelay > 0 {
		timer := time.NewTimer(c.DrainDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case err := <-failed:
			failed <- err
			return nil
		}
	}
	limit, cancel := context.WithTimeout(context.Background(), cmp.Or(c.DrainTimeout, defaultDrainTimeout))
	defer cancel()
	err := server.Shutdown(limit)
	if err == nil {
		return nil
	}
	return fmt.Errorf("drain %s: requests were cut off: %w", c.Listener.Addr(), errors.Join(err, server.Close()))
}
