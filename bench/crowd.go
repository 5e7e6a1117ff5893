package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// idler is a kind of client that takes its time, and how many there are of it.
type idler struct {
	name    string
	count   int
	request string        // sent at once
	drip    string        // sent again and again
	every   time.Duration // drip is sent, or a little read
	reads   bool          // little by little, and sends nothing more
}

// idlers returns the clients whose requests bear the token.
func idlers(host, token string) []idler {
	const head = "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s"
	return []idler{
		{name: "headers", count: 500, request: fmt.Sprintf(head, "GET /", host, token, ""), drip: "X-More: 1\r\n", every: time.Second},
		{name: "answers", count: 200, request: fmt.Sprintf(head, "GET /large", host, token, "\r\n"), every: time.Second, reads: true},
		{name: "bodies", count: 100, request: fmt.Sprintf(head, "POST /", host, token, "Content-Length: 1000000\r\n\r\n"), drip: "x", every: 10 * time.Second},
	}
}

// crowd is a number of idlers on their connections.
type crowd struct {
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu    sync.Mutex
	ended map[string][]time.Duration // of each kind, after how long they were hung up on
	err   error                      // why one could not connect
}

// gather connects all of them. With again, one that was hung up on comes back.
func gather(ctx context.Context, address string, kinds []idler, again bool) (*crowd, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &crowd{cancel: cancel, ended: map[string][]time.Duration{}}
	var there sync.WaitGroup
	for _, kind := range kinds {
		there.Add(kind.count)
		for n := range kind.count {
			// They do not all do something at the same moment.
			pause := kind.every * time.Duration(n+1) / time.Duration(kind.count)
			arrived := sync.OnceFunc(there.Done)
			c.all.Go(func() {
				defer arrived()
				for came := true; came && ctx.Err() == nil; came = again {
					c.visit(ctx, address, kind, pause, arrived)
				}
			})
		}
	}
	there.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.err
}

// leave ends all of them.
func (c *crowd) leave() {
	c.cancel()
	c.all.Wait()
}

// visit is one connection, until it is hung up on or the crowd leaves.
func (c *crowd) visit(ctx context.Context, address string, kind idler, pause time.Duration, arrived func()) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		c.failed(ctx, err)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() }) // ends whatever goes on on it
	defer stop()
	defer connection.Close() //nolint:errcheck // nothing is left to be said on it
	if tcp, ok := connection.(*net.TCPConn); ok && kind.reads {
		_ = tcp.SetReadBuffer(4 << 10) // without it the kernel would take the answer for the client
	}
	began := time.Now()
	if _, err = io.WriteString(connection, kind.request); err != nil {
		c.failed(ctx, fmt.Errorf("send slow %s: %w", kind.name, err))
		return
	}
	arrived()
	if kind.reads {
		kind.sip(connection, pause)
	} else {
		kind.dribble(connection, pause)
	}
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[kind.name] = append(c.ended[kind.name], time.Since(began))
}

func (c *crowd) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = cmp.Or(c.err, err) // the others are like the first
}

// dribble sends bit by bit until the other side has hung up, which is what it reads meanwhile.
func (k idler) dribble(connection net.Conn, pause time.Duration) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, connection) // an answer, and then the end in whichever way
	}()
	defer func() {
		_ = connection.Close() // so that the reader ends
		<-gone
	}()
	next := time.NewTimer(pause)
	defer next.Stop()
	for {
		select {
		case <-gone:
			return
		case <-next.C:
			next.Reset(k.every)
			if _, err := io.WriteString(connection, k.drip); err != nil {
				return // that it has hung up is what is waited for
			}
		}
	}
}

// sip reads bit by bit until the other side has hung up. Its kernel has much to read even then; but what is sent to somebody who has
// closed the connection is answered by a reset.
func (k idler) sip(connection net.Conn, pause time.Duration) {
	next := time.NewTimer(pause)
	defer next.Stop()
	bit := make([]byte, 512)
	for range next.C {
		next.Reset(k.every)
		if _, err := io.WriteString(connection, "\r\n"); err != nil {
			return // as in dribble
		}
		if _, err := connection.Read(bit); err != nil {
			return
		}
	}
}
