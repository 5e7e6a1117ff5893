package testbed

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/countersign/countersign/internal/netfault"
)

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens. Nothing keeps it from being
// taken before the caller listens on it, but only users of [netfault.Listen] choose from its range.
func FreePort(tb testing.TB) int {
	tb.Helper()
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	return port
}

func freePort() (int, error) {
	l, err := netfault.Listen()
	if err != nil {
		return 0, err
	}
	address, err := netip.ParseAddrPort(l.Addr().String())
	return int(address.Port()), errors.Join(err, netfault.CloseNow(l))
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
