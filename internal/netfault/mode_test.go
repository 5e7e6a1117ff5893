package netfault_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/netfault"
)

// silence is how long the tests listen for an answer that must not come.
const silence = 100 * time.Millisecond

// startEcho returns the address of a server that sends lines back.
func startEcho(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

func startProxy(t *testing.T) *netfault.Proxy {
	t.Helper()
	listener, err := netfault.Listen()
	if err != nil {
		t.Fatal(err)
	}
	p := netfault.Start(listener, startEcho(t))
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *netfault.Proxy) (net.Conn, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Addr())
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// echo sends a line and waits for it.
func echo(conn net.Conn, within time.Duration) error {
	if _, err := io.WriteString(conn, "line\n"); err != nil {
		return err
	}
	return heard(conn, within)
}

func heard(conn net.Conn, within time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := bufio.NewReader(conn).ReadString('\n')
	return err
}

func TestModes(t *testing.T) {
	p := startProxy(t)
	for _, mode := range netfault.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			if err := p.Set(mode); err != nil {
				t.Fatal(err)
			}
			conn, err := dial(t, p)
			if mode == netfault.Refuse {
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("connect: %v, want refused", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			switch mode {
			case netfault.Pass:
				err = echo(conn, 5*time.Second)
			case netfault.Delay:
				if err = echo(conn, 5*time.Second); time.Since(began) < 2*netfault.DelayTime {
					t.Errorf("answered after %v", time.Since(began))
				}
			case netfault.Hang, netfault.BlackHole:
				if err := echo(conn, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("got %v, want no answer", err)
				}
				if err := p.Set(netfault.Pass); err != nil {
					t.Fatal(err)
				}
				if mode == netfault.BlackHole {
					if err := heard(conn, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("got %v after bytes were lost, want no answer", err)
					}
					return
				}
				err = heard(conn, 5*time.Second) // what hung arrives
			case netfault.Refuse:
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseMode(t *testing.T) {
	for _, mode := range netfault.Modes() {
		if got, err := netfault.ParseMode(string(mode)); got != mode || err != nil {
			t.Errorf("%q: %q, %v", mode, got, err)
		}
	}
	_, err := netfault.ParseMode("blackhole")
	if err == nil || slices.ContainsFunc(netfault.Modes(), func(m netfault.Mode) bool { return !strings.Contains(err.Error(), string(m)) }) {
		t.Errorf("%v does not name what is allowed", err)
	}
}
