package netfault

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports are taken from below the range from which Linux picks the ports of outgoing connections. So no connection sits on a port
// while nobody listens there, not even one that a client made with itself by dialling that port again and again.
const (
	firstPort = 20000
	lastPort  = 32767
)

// Listen listens on a free TCP port of 127.0.0.1 that no outgoing connection takes while the listener is closed.
func Listen() (l net.Listener, err error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // not a secret
		if l, err = listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("find a free port from %d to %d: %w", firstPort, lastPort, err)
}

// listen opens a TCP listener, for which nobody has to wait and so no context is needed.
func listen(addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr) //nolint:wrapcheck // it says what it did
}

// CloseNow closes a listener or connection so that it is gone when this returns. A child process on its way to its program still
// holds all that we have open, so none may be in the making.
func CloseNow(c io.Closer) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return c.Close() //nolint:wrapcheck // it says what it did
}
