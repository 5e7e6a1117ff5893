package testbed_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// silence is how long the tests listen for an answer that must not come.
const silence = 100 * time.Millisecond

// startEcho returns the address of a server that sends everything back.
func startEcho(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		listener.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			wg.Go(func() {
				io.Copy(conn, conn)
				conn.Close()
			})
		}
	})
	return listener.Addr().String()
}

// dial fails the test if the proxy does not accept.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// roundTrip sends a line and waits that long for its echo.
func roundTrip(conn net.Conn, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	want := rand.Text() + "\n"
	if _, err := io.WriteString(conn, want); err != nil {
		return err
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && got != want {
		return errors.New("got " + got + " not " + want)
	}
	return err
}

func TestProxyPasses(t *testing.T) {
	t.Parallel()
	proxy := testbed.StartProxy(t, startEcho(t))
	conn := dial(t, proxy.Addr())
	sent := make([]byte, 4<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn.Write(sent)
		conn.(*net.TCPConn).CloseWrite()
	})
	got, err := io.ReadAll(conn) // ends when the end of the stream has come back
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes and %v, want the %d that were sent", len(got), err, len(sent))
	}
}

func TestProxyLosesBytes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault func(p *testbed.Proxy)
	}{
		{name: "black hole", fault: (*testbed.Proxy).BlackHole},
		{name: "half-open to the target", fault: func(p *testbed.Proxy) { p.HalfOpen(testbed.ToTarget) }},
		{name: "half-open to the client", fault: func(p *testbed.Proxy) { p.HalfOpen(testbed.ToClient) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			proxy := testbed.StartProxy(t, startEcho(t))
			idle, used := dial(t, proxy.Addr()), dial(t, proxy.Addr())
			for _, conn := range []net.Conn{idle, used} {
				if err := roundTrip(conn, 5*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			tt.fault(proxy)
			made := dial(t, proxy.Addr())
			for name, conn := range map[string]net.Conn{"existing": used, "new": made} {
				if err := roundTrip(conn, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s connection: %v, want no answer", name, err)
				}
			}
			proxy.Pass()
			for name, conn := range map[string]net.Conn{"existing": used, "new": made} {
				if err := roundTrip(conn, silence); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s connection, which lost bytes, after that: %v, want no answer", name, err)
				}
			}
			for name, conn := range map[string]net.Conn{"idle": idle, "later": dial(t, proxy.Addr())} {
				if err := roundTrip(conn, 5*time.Second); err != nil {
					t.Errorf("%s connection after that: %v", name, err)
				}
			}
		})
	}
}

// TestProxyHalfOpenReachesTarget is what tells the directions apart.
func TestProxyHalfOpenReachesTarget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		lost    testbed.Direction
		arrives bool
	}{
		{name: "answers are lost", lost: testbed.ToClient, arrives: true},
		{name: "requests are lost", lost: testbed.ToTarget},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := testbed.StartRedis(t)
			proxy := testbed.StartProxy(t, server.Addr())
			proxy.HalfOpen(tt.lost)
			conn := dial(t, proxy.Addr())
			conn.SetDeadline(time.Now().Add(silence))
			io.WriteString(conn, "SET key value\r\n")
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v, want no answer", err)
			}
			n, err := openRedis(t, server.URL()).Exists(t.Context(), "key").Result()
			if err != nil || n == 1 != tt.arrives {
				t.Errorf("%d keys at the target (%v), want arrived %t", n, err, tt.arrives)
			}
		})
	}
}

func TestProxyBlackHoleHidesTheTarget(t *testing.T) {
	t.Parallel()
	target, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	proxy := testbed.StartProxy(t, target.Addr().String())
	proxy.BlackHole()
	if err := roundTrip(dial(t, proxy.Addr()), silence); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want no answer", err)
	}
	target.SetDeadline(time.Now().Add(silence))
	if _, err := target.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("accept: %v, want no connection", err)
	}
}

func TestProxyHoldsBackTheEndWhileDropping(t *testing.T) {
	t.Parallel()
	server := testbed.StartRedis(t)
	admin := openRedis(t, server.URL())
	clients := func() int {
		list, err := admin.ClientList(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count([]byte(list), []byte("\n"))
	}
	proxy := testbed.StartProxy(t, server.Addr())
	before := clients()
	conn := dial(t, proxy.Addr())
	testbed.Wait(t, 5*time.Second, func() error {
		if clients() == before {
			return errors.New("the connection has not reached the target")
		}
		return nil
	})
	proxy.BlackHole()
	conn.Close()
	for end := time.Now().Add(silence); time.Now().Before(end); {
		if clients() == before {
			t.Fatal("the target learned that the client had closed")
		}
	}
	proxy.Pass()
	testbed.Wait(t, 5*time.Second, func() error {
		if clients() != before || proxy.Connections() != 0 {
			return errors.New("the connection still stands")
		}
		return nil
	})
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	proxy := testbed.StartProxy(t, startEcho(t))
	conn := dial(t, proxy.Addr())
	if err := roundTrip(conn, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is no error
		proxy.Refuse()
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("existing connection: %v, want a reset", err)
	}
	for range 20 {
		_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Addr())
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("new connection: %v, want refused", err)
		}
	}
	for range 2 {
		proxy.Pass()
	}
	if err := roundTrip(dial(t, proxy.Addr()), 5*time.Second); err != nil {
		t.Errorf("connection after that: %v", err)
	}
}

func TestProxyResets(t *testing.T) {
	t.Parallel()
	proxy := testbed.StartProxy(t, startEcho(t))
	conn := dial(t, proxy.Addr())
	if err := roundTrip(conn, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if n := proxy.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	proxy.Reset()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("existing connection: %v, want a reset", err)
	}
	if err := roundTrip(dial(t, proxy.Addr()), 5*time.Second); err != nil {
		t.Errorf("new connection: %v", err)
	}
}

func TestProxyPassesOnThatTheTargetIsGone(t *testing.T) {
	t.Parallel()
	server := testbed.StartRedis(t)
	proxy := testbed.StartProxy(t, server.Addr())
	conn := dial(t, proxy.Addr())
	server.Kill()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("existing connection: an answer from a dead target")
	}
	fresh, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Addr())
	if err == nil { // the reset may also come before the dialler has looked
		defer fresh.Close()
		_, err = fresh.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("new connection: %v, want a reset", err)
	}
}

func TestProxyDelays(t *testing.T) {
	t.Parallel()
	const each = 60 * time.Millisecond
	for _, tt := range []struct {
		name               string
		toTarget, toClient time.Duration
		want               time.Duration
	}{
		{name: "to the target", toTarget: each, want: each},
		{name: "to the client", toClient: each, want: each},
		{name: "both ways", toTarget: each, toClient: each, want: 2 * each},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			proxy := testbed.StartProxy(t, startEcho(t))
			conn := dial(t, proxy.Addr())
			proxy.Delay(tt.toTarget, tt.toClient)
			start := time.Now()
			if err := roundTrip(conn, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < tt.want {
				t.Errorf("round trip took %v, want at least %v", took, tt.want)
			}
		})
	}
}

func TestProxyDelayEndsWithPass(t *testing.T) {
	t.Parallel()
	proxy := testbed.StartProxy(t, startEcho(t))
	conn := dial(t, proxy.Addr())
	proxy.Delay(time.Hour, 0)
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(silence))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v, want no answer", err)
	}
	proxy.Pass()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("after the delay was lifted: %v", err)
	}
}

func TestProxyThrottles(t *testing.T) {
	t.Parallel()
	const rate, amount = 100_000, 40_000
	proxy := testbed.StartProxy(t, startEcho(t))
	conn := dial(t, proxy.Addr())
	proxy.Throttle(rate)
	start := time.Now()
	if _, err := conn.Write(make([]byte, amount)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, amount)); err != nil {
		t.Fatal(err)
	}
	// The last twentieth of a second's worth arrives before it has been waited for.
	if took, least := time.Since(start), amount*time.Second/rate-50*time.Millisecond; took < least || took > 20*least {
		t.Errorf("%d bytes at %d/s took %v, want at least %v", amount, rate, took, least)
	}
}

func TestProxyClosesInAnyState(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault func(p *testbed.Proxy)
	}{
		{name: "passing", fault: (*testbed.Proxy).Pass},
		{name: "refusing", fault: (*testbed.Proxy).Refuse},
		{name: "black hole", fault: (*testbed.Proxy).BlackHole},
		{name: "delaying", fault: func(p *testbed.Proxy) { p.Delay(time.Hour, time.Hour) }},
		{name: "throttling", fault: func(p *testbed.Proxy) { p.Throttle(1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			proxy := testbed.StartProxy(t, startEcho(t))
			conn := dial(t, proxy.Addr())
			io.WriteString(conn, "some bytes on their way")
			tt.fault(proxy)
			for range 2 {
				proxy.Close()
			}
			if n := proxy.Connections(); n != 0 {
				t.Errorf("%d connections left", n)
			}
			if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connect: %v, want refused", err)
			}
			proxy.Pass()
			if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connect after a switch on a closed proxy: %v, want refused", err)
			}
		})
	}
}
