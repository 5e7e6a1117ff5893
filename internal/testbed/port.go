package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/countersign/countersign/internal/netfault"
)

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens. Until the test ends no other test is given it, whatever process
// that is in.
func FreePort(tb testing.TB) int {
	tb.Helper()
	return FreePorts(tb, 1)
}

// FreePorts is FreePort for n ports in a row, and returns the first.
func FreePorts(tb testing.TB, n int) int {
	tb.Helper()
	first, release, err := freePorts(n)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
	return first
}

// freePorts returns the first of n ports in a row, which are kept for the caller until release is called.
func freePorts(n int) (first int, release func(), err error) {
	for range 100 {
		if first, err = unusedPort(); err != nil {
			return 0, nil, err
		}
		if release, err = reserve(first, n); err == nil {
			return first, release, nil
		}
	}
	return 0, nil, err
}

func unusedPort() (int, error) {
	l, err := netfault.Listen()
	if err != nil {
		return 0, err
	}
	address, err := netip.ParseAddrPort(l.Addr().String())
	return int(address.Port()), errors.Join(err, netfault.CloseNow(l))
}

// reserve keeps ports by listening on names of theirs, of which the kernel has one each and forgets them with the process. Linux
// knows names that are no files.
func reserve(first, n int) (release func(), err error) {
	var held []net.Listener
	release = func() {
		for _, l := range held {
			_ = l.Close() // a name that stays taken costs one port of thousands
		}
	}
	listen := (&net.ListenConfig{}).Listen
	for port := first; port < first+n && err == nil; port++ {
		var name, free net.Listener
		if name, err = listen(context.Background(), "unix", fmt.Sprintf("@countersign-testbed-port-%d", port)); err == nil {
			held = append(held, name)
			if free, err = listen(context.Background(), "tcp", loopback(port)); err == nil {
				err = netfault.CloseNow(free)
			}
		}
	}
	if err != nil {
		release()
		return nil, fmt.Errorf("reserve port %d and %d more: %w", first, n-1, err)
	}
	return release, nil
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
