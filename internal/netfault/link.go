package netfault

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// inFlight is how many reads of a connection the network holds before it stops reading.
const inFlight = 64

// link is one connection through a proxy.
type link struct {
	network *network
	client  net.Conn
	cancel  context.CancelFunc // ends run

	mu     sync.Mutex
	server net.Conn // nil until the target has been dialled
	broken bool
}

// segment is what one read brought, or the error that ended the stream.
type segment struct {
	data []byte
	at   time.Time
	err  error
}

// run forwards until both directions have ended. A target that cannot be reached is a reset to the client.
func (l *link) run(ctx context.Context, target string) {
	defer l.cancel()
	if l.network.blackHole() {
		_, _ = io.Copy(io.Discard, l.client) // ends when the client or the proxy closes
		l.reset()
		return
	}
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil || !l.join(server) {
		l.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.forward(ctx, ToTarget, l.client, server) })
	both.Go(func() { l.forward(ctx, ToClient, server, l.client) })
	both.Wait()
	_ = l.client.Close() // fails only after a reset
	_ = server.Close()
}

// join reports whether the link was whole until it had its second half.
func (l *link) join(server net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	return !l.broken
}

// reset breaks both halves with an RST and so ends run.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	l.cancel()
	for _, c := range []net.Conn{l.client, l.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // fails only if it is closed already
			_ = CloseNow(tcp)
		}
	}
}

// forward carries what from sends to to, and then how that ended.
func (l *link) forward(ctx context.Context, d Direction, from, to net.Conn) {
	segments := make(chan segment, inFlight)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() { read(ctx, from, segments) })

	err := l.write(ctx, d, to, segments)
	if errors.Is(err, io.EOF) {
		if tcp, ok := to.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
			return
		}
	}
	l.reset()
}

// read fills segments until the stream ends.
func read(ctx context.Context, from io.Reader, segments chan<- segment) {
	for {
		buf := make([]byte, 16<<10)
		n, err := from.Read(buf)
		select {
		case segments <- segment{data: buf[:n], at: time.Now(), err: err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// write delivers segments, each in its time, and returns why it ended once the network lets that
// be known. From the first byte lost on it loses all, as TCP never delivers a stream with a gap.
func (l *link) write(ctx context.Context, d Direction, to io.Writer, segments <-chan segment) error {
	lost := false
	for {
		var s segment
		select {
		case s = <-segments:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := l.await(ctx, d, func(p path) time.Duration { return time.Until(s.at.Add(p.delay)) }); err != nil {
			return err
		}
		if !lost {
			var err error
			if lost, err = l.deliver(ctx, d, to, s.data); err != nil {
				return errors.Join(err, l.untilPassed(ctx, 1-d)) // that to is gone is told by to
			}
		}
		if s.err != nil {
			return errors.Join(s.err, l.untilPassed(ctx, d))
		}
	}
}

// deliver writes data in pieces of at most a twentieth of a second of the rate, and reports
// whether the network lost some of it.
func (l *link) deliver(ctx context.Context, d Direction, to io.Writer, data []byte) (lost bool, err error) {
	for len(data) > 0 {
		now, _ := l.network.state(d)
		if now.drop {
			return true, nil
		}
		n := len(data)
		if now.rate > 0 {
			n = min(n, max(1, now.rate/20))
		}
		start := time.Now()
		if _, err := to.Write(data[:n]); err != nil {
			return false, err
		}
		data = data[n:]
		err := l.await(ctx, d, func(p path) time.Duration {
			if p.rate <= 0 {
				return 0
			}
			return time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(p.rate)))
		})
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// untilPassed waits until the network lets anything through in direction d.
func (l *link) untilPassed(ctx context.Context, d Direction) error {
	return l.await(ctx, d, func(p path) time.Duration {
		if p.drop {
			return time.Hour // or until the network changes
		}
		return 0
	})
}

// await waits for as long as rest says, which is asked again whenever the network changes.
func (l *link) await(ctx context.Context, d Direction, rest func(path) time.Duration) error {
	for {
		now, changed := l.network.state(d)
		left := rest(now)
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
