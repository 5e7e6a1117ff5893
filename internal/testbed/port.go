package testbed

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// Ports are taken from below the range from which Linux picks the ports of outgoing connections.
// So no connection sits on a server's port while the server is down, not even one that a client
// made with itself by dialling that port again and again.
const (
	firstPort = 20000
	lastPort  = 32767
)

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens. Nothing keeps it from being
// taken before the caller listens on it, but only other users of this package choose from its range.
func FreePort(tb testing.TB) int {
	tb.Helper()
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	return port
}

func freePort() (int, error) {
	l, port, err := listenSomewhere()
	if err != nil {
		return 0, err
	}
	return port, closeNow(l)
}

// listenSomewhere listens on a port of this package's range.
func listenSomewhere() (l net.Listener, port int, err error) {
	for range 100 {
		port = firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // not a secret
		if l, err = listen(loopback(port)); err == nil {
			return l, port, nil
		}
	}
	return nil, 0, fmt.Errorf("find a free port from %d to %d: %w", firstPort, lastPort, err)
}

// listen opens a TCP listener, for which nobody has to wait and so no context is needed.
func listen(addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
}

// closeNow closes a listener or connection so that it is gone when this returns. A child process
// on its way to its program still holds all that we have open, so none may be in the making.
func closeNow(c io.Closer) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return c.Close()
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
