package lb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// StreamConfig configures a Stream. Zero fields take the default given with them.
type StreamConfig struct {
	// Pool holds the upstreams; whether their URLs are http or https does not matter. Its checks are best mere connections
	// (Health.Connect). Its policy gets the client's address as key. Required.
	Pool *Pool
	// ConnectTimeout bounds connecting to one upstream. Default 1 s.
	ConnectTimeout time.Duration
	// IdleTimeout is for how long a connection may carry nothing in either direction; after at most twice that it is closed. The same holds
	// for one whose receiver takes nothing. Default 10 min.
	IdleTimeout time.Duration
	// Logger gets a line for each connection that no upstream took. Nil discards them.
	Logger *slog.Logger
	// Now is the clock of figures. Nil means time.Now.
	Now func() time.Time
}

// Stream passes TCP connections on to the upstreams of a pool, whatever they carry, such as TLS that only the upstreams can read. It
// is safe for concurrent use.
type Stream struct {
	cfg    StreamConfig
	chunks chunks
}

// NewStream returns a Stream. It does no I/O.
func NewStream(cfg StreamConfig) (*Stream, error) {
	if cfg.Pool == nil {
		return nil, errors.New("stream: no pool")
	}
	if cfg.ConnectTimeout < 0 || cfg.IdleTimeout < 0 {
		return nil, errors.New("stream: timeouts must not be negative")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = time.Second
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 10 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Stream{cfg: cfg}, nil
}

// Serve connects client to an upstream, or to the next one where that fails, and passes on what both send until both have ended: when one ends its
// half, the other learns it and may go on. Nothing is read from client before an upstream is connected. The end of ctx ends both at once. When Serve
// returns, client is closed.
func (s *Stream) Serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }() // it has ended
	upstream, conn, err := s.connect(ctx, client)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "connection not taken by an upstream", "pool", s.cfg.Pool.cfg.Name, "err", err)
		return
	}
	defer upstream.inFlight.Add(-1)
	p := &pipe{ends: [2]net.Conn{client, conn}, idle: s.cfg.IdleTimeout, chunks: &s.chunks}
	p.run(ctx)
}

// connect returns an upstream, at which the connection is counted, and the connection.
func (s *Stream) connect(ctx context.Context, client net.Conn) (*Upstream, net.Conn, error) {
	pool, key := s.cfg.Pool, client.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(key); err == nil {
		key = host
	}
	var tried []*Upstream
	var last error
	for u := pool.pick(key, nil); u != nil; u = pool.pick(key, tried) {
		tried = append(tried, u)
		if !u.take() {
			last = ErrBusy
			continue
		}
		if !u.permits() {
			u.inFlight.Add(-1)
			last = ErrOpen
			continue
		}
		conn, err := s.dial(ctx, u)
		if err == nil {
			return u, conn, nil
		}
		u.inFlight.Add(-1)
		if ctx.Err() != nil {
			return nil, nil, err
		}
		if pool.retries != nil {
			pool.retries.Inc()
		}
		last = err
	}
	if last == nil {
		last = ErrUnreachable
	}
	return nil, nil, last
}

// dial connects to u and tells the pool how that went.
func (s *Stream) dial(ctx context.Context, u *Upstream) (net.Conn, error) {
	dialer := net.Dialer{Timeout: s.cfg.ConnectTimeout, KeepAlive: keepAlive}
	began := s.cfg.Now()
	conn, err := dialer.DialContext(ctx, "tcp", hostPort(u.base))
	if err == nil {
		s.cfg.Pool.answered(ctx, u, true)
		u.recorded(true)
		u.metrics.connected(s.cfg.Now().Sub(began))
		return conn, nil
	}
	failure := &connectError{err}
	switch {
	case ctx.Err() != nil:
		u.metrics.broke(true)
		u.abandoned()
	case failure.local():
		u.metrics.broke(false)
		u.abandoned()
	default:
		u.metrics.broke(false)
		s.cfg.Pool.unreachable(ctx, u, failure)
		u.recorded(false)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
}
