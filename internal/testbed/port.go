package testbed

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
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
	var err error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // not a secret
		var l net.Listener
		if l, err = listen(loopback(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port from %d to %d: %w", firstPort, lastPort, err)
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
