// Package listeners keeps the sockets that a role listens on as its configuration wants them. A new configuration opens what
// is new, drains what is gone, and changes what stays without closing its socket or losing a request.
package listeners

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Spec says what one listener is to be.
type Spec struct {
	// Name is for people, metrics and errors; no two listeners of a set have the same.
	Name string
	// Place is where the listener is configured, such as lb.yaml:3: listeners[0], for errors. It may be empty.
	Place string
	// Address is a host:port. A listener is the same one as before if its address is.
	Address string
	// TLS are the files of its certificate; without them it speaks plain text. Not for Stream, which passes on what it gets.
	TLS TLS

	// Handler answers HTTP/1.1 and HTTP/2 (over TLS by ALPN, in plain text by prior knowledge). One of Handler and Stream.
	Handler http.Handler
	// Stream has a connection of its own until it returns; the set closes it then. When the set gives up waiting, ctx ends and the
	// connection is closed.
	Stream func(ctx context.Context, conn net.Conn)

	Limits Limits
	// MaxConnections is how many connections are open at once; further ones wait in the backlog of the socket. While it is reached,
	// each answer ends its connection, so that others have their turn. 0: any number.
	MaxConnections int

	// DrainDelay is for how long Close still accepts requests, so that load balancers notice; 0: not at all. A listener that
	// Apply takes away has no use for it.
	DrainDelay time.Duration
	// DrainTimeout bounds how long requests in flight, streams and upgraded connections may take to finish. 0: 10 s.
	DrainTimeout time.Duration
	// Last says that Close drains this one after the others: for the port that tells how the process is.
	Last bool
}

// TLS names the PEM files of a certificate chain and its private key. They are read again when they change.
type TLS struct {
	Certificate, Key string
	// Clients are asked for a certificate, any one, which they need not have: what it is worth is for the handler to find out.
	ClientCertificates bool
}

// Limits are those of an HTTP listener. A zero limit is its default.
type Limits struct {
	Header time.Duration // to the end of a request's headers: 5 s
	// Body is how long a client may send nothing while its request's body is waited for: 60 s. It does not hold for gRPC, whose
	// streams of HTTP/2 may be quiet.
	Body time.Duration
	// Write is how long a client may take nothing of an answer that is ready: 30 s. Streams live on as long as they progress, and as long as there is nothing to send.
	Write          time.Duration
	Idle           time.Duration // between requests of a connection: 2 min
	MaxHeaderBytes int           // 32 KiB; more is answered by 431
}

const (
	defaultBody         = time.Minute
	defaultWrite        = 30 * time.Second
	defaultDrainTimeout = 10 * time.Second
)

// Config configures a Set.
type Config struct {
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // judges certificates; nil means time.Now
}

// Set is a set of listeners. It is safe for concurrent use. Whoever made it calls Close.
type Set struct {
	cfg Config

	applying sync.Mutex // one Apply or Close at a time
	closed   bool       // guarded by applying

	mu   sync.Mutex
	open map[string]*listener // changed with both held

	removed sync.WaitGroup // the drains of listeners that Apply took away
}

// New returns a set without listeners.
func New(cfg Config) *Set {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Set{cfg: cfg, open: map[string]*listener{}}
}
