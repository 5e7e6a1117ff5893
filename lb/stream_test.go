package lb_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/lb"
)

// startTCP hands each connection to handle.
func startTCP(t testing.TB, handle func(net.Conn)) (addr string) {
	t.Helper()
	ln := listen(t, "127.0.0.1:0")
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		conns.Wait()
	})
	return ln.Addr().String()
}

// startStream passes connections on to addrs.
func startStream(t testing.TB, cfg lb.StreamConfig, addrs ...string) string {
	t.Helper()
	if cfg.Pool == nil {
		cfg.Pool = newPool(t, lb.PoolConfig{}, addrs...)
	}
	stream, err := lb.NewStream(cfg)
	if err != nil {
		t.Fatal(err)
	}
	addr := startTCP(t, func(conn net.Conn) { stream.Serve(t.Context(), conn) })
	return addr
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// ask sends text, ends its half, and returns all that comes back.
func ask(t testing.TB, addr, text string) string {
	t.Helper()
	conn := dial(t, addr)
	defer conn.Close()
	io.WriteString(conn, text)
	conn.CloseWrite()
	all, _ := io.ReadAll(conn)
	return string(all)
}

// toUpper answers when it has read everything.
func toUpper(conn net.Conn) {
	all, _ := io.ReadAll(conn)
	conn.Write(bytes.ToUpper(all))
}

func TestStreamPassesBothHalves(t *testing.T) {
	up := startTCP(t, toUpper)
	pool := newPool(t, lb.PoolConfig{}, up)
	addr := startStream(t, lb.StreamConfig{Pool: pool})
	long := strings.Repeat("abcdefgh", 1<<17)
	if got := ask(t, addr, long); got != strings.ToUpper(long) {
		t.Errorf("%d bytes of %d", len(got), len(long))
	}
	// The upstream may end first, and the client go on.
	heard := make(chan string)
	farewell := startTCP(t, func(conn net.Conn) {
		io.WriteString(conn, "bye")
		conn.(*net.TCPConn).CloseWrite()
		all, _ := io.ReadAll(conn)
		heard <- string(all)
	})
	conn := dial(t, startStream(t, lb.StreamConfig{}, farewell))
	if all, err := io.ReadAll(conn); err != nil || string(all) != "bye" {
		t.Errorf("%q, %v", all, err)
	}
	io.WriteString(conn, "still there")
	conn.Close()
	if got := <-heard; got != "still there" {
		t.Errorf("upstream got %q", got)
	}
	await(t, "end of the count", func() bool { return pool.Upstreams()[0].InFlight == 0 })
}

// Who speaks TLS does so with the upstream itself.
func TestStreamPassesTLS(t *testing.T) {
	dir := t.TempDir()
	issue(t, dir+"/server.pem", dir+"/server.key", "inventory.internal")
	server, _ := startSecured(t, dir+"/server.pem", dir+"/server.key", true)
	addr := startStream(t, lb.StreamConfig{}, server.URL)
	secured := trusting(server)
	secured.ServerName = "inventory.internal"
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: secured, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	resp, err := client.Get("https://inventory.internal/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != "nobody by HTTP/2" || resp.TLS.PeerCertificates[0].Subject.CommonName != "inventory.internal" {
		t.Errorf("%s", got)
	}
}

func TestStreamGoesToAnother(t *testing.T) {
	alive := startTCP(t, toUpper)
	registry := prometheus.NewPedanticRegistry()
	pool := newPool(t, lb.PoolConfig{Name: "p", Metrics: lb.NewMetrics(registry)}, deadAddr(t), alive)
	addr := startStream(t, lb.StreamConfig{Pool: pool})
	for range 4 {
		if got := ask(t, addr, "hello"); got != "HELLO" {
			t.Errorf("got %q", got)
		}
	}
	if s := pool.Upstreams(); s[0].Healthy || !s[1].Healthy {
		t.Errorf("%+v", s)
	}
	all := figures(t, registry)
	if all["retries_total{pool=p}"] != 1 || all["requests_total{code=connected pool=p upstream=http://"+alive+"}"] != 4 {
		t.Errorf("%v", all)
	}
}

// Half of the upstreams is killed under load: connections that are open end, and none that comes later fails.
func TestStreamSurvivesAKill(t *testing.T) {
	const workers, each, killAt = 16, 50, 400
	doomed := listen(t, "127.0.0.1:0")
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := doomed.Accept()
			if err != nil {
				return
			}
			open.Go(func() { defer conn.Close(); toUpper(conn) })
		}
	})
	alive := startTCP(t, toUpper)
	addr := startStream(t, lb.StreamConfig{}, doomed.Addr().String(), alive)
	var asked, failed, failedLater atomic.Int64
	var killed atomic.Bool
	var load sync.WaitGroup
	for range workers {
		load.Go(func() {
			for range each {
				if asked.Add(1) == killAt {
					doomed.Close()
					open.Wait()
					killed.Store(true)
				}
				later := killed.Load()
				if got := ask(t, addr, "hello"); got != "HELLO" {
					failed.Add(1)
					if later {
						failedLater.Add(1)
					}
				}
			}
		})
	}
	load.Wait()
	if failed.Load() > workers || failedLater.Load() > 0 {
		t.Errorf("%d connections failed, %d of them after the kill", failed.Load(), failedLater.Load())
	}
}

func TestStreamWithoutUpstreams(t *testing.T) {
	log := new(logBook)
	addr := startStream(t, lb.StreamConfig{Logger: slog.New(slog.NewTextHandler(log, nil))}, deadAddr(t))
	if got := ask(t, addr, "hello"); got != "" {
		t.Errorf("got %q", got)
	}
	await(t, "line of the log", func() bool { return strings.Contains(log.String(), "connection not taken by an upstream") })
}

// Connections count as requests do.
func TestStreamKeepsToTheBound(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	hold := startTCP(t, func(net.Conn) { arrived <- struct{}{}; <-release })
	pool, err := lb.NewPool(lb.PoolConfig{Targets: []lb.Target{{URL: hold, MaxRequests: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	addr := startStream(t, lb.StreamConfig{Pool: pool})
	held := dial(t, addr)
	<-arrived
	if got := ask(t, addr, "hello"); got != "" {
		t.Errorf("got %q", got)
	}
	close(release)
	held.Close()
	await(t, "end of the count", func() bool { return pool.Upstreams()[0].InFlight == 0 })
}

func TestStreamEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{})
	hold := startTCP(t, func(conn net.Conn) { close(arrived); io.Copy(io.Discard, conn) })
	stream, err := lb.NewStream(lb.StreamConfig{Pool: newPool(t, lb.PoolConfig{}, hold)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	addr := startTCP(t, func(conn net.Conn) { stream.Serve(ctx, conn); close(served) })
	conn := dial(t, addr)
	<-arrived
	cancel()
	<-served
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the client got something")
	}
}

func TestStreamIsEven(t *testing.T) { streamIsEven(t, 1000) }

// streamIsEven spreads short connections over four upstreams, within 2 %.
func streamIsEven(t *testing.T, connections int) {
	const upstreams, workers = 4, 20
	var counts [upstreams]atomic.Int64
	var addrs []string
	for i := range upstreams {
		addr := startTCP(t, func(conn net.Conn) {
			counts[i].Add(1)
			io.WriteString(conn, "x")
		})
		addrs = append(addrs, addr)
	}
	addr := startStream(t, lb.StreamConfig{}, addrs...)
	var load sync.WaitGroup
	for range workers {
		load.Go(func() {
			for range connections / workers {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := conn.Read(make([]byte, 1)); n != 1 {
					t.Error(err)
				}
				conn.(*net.TCPConn).SetLinger(0) // leaves nothing behind in the kernel
				conn.Close()
			}
		})
	}
	load.Wait()
	for i := range counts {
		share := int64(connections / upstreams)
		if n := counts[i].Load(); n < share*98/100 || n > share*102/100 {
			t.Errorf("upstream %d got %d connections of %d", i, n, connections)
		}
	}
}

// By the client's address, all its connections go to one upstream.
func TestStreamByClient(t *testing.T) {
	var one, two atomic.Int64
	a := startTCP(t, func(conn net.Conn) { one.Add(1) })
	b := startTCP(t, func(conn net.Conn) { two.Add(1) })
	addr := startStream(t, lb.StreamConfig{Pool: newPool(t, lb.PoolConfig{Policy: lb.Consistent{}}, a, b)})
	for range 20 {
		ask(t, addr, "")
	}
	if n := one.Load() + two.Load(); n != 20 || one.Load()*two.Load() != 0 {
		t.Errorf("%d and %d connections", one.Load(), two.Load())
	}
}

func TestNewStreamRefuses(t *testing.T) {
	pool := newPool(t, lb.PoolConfig{}, "a:1")
	for name, cfg := range map[string]lb.StreamConfig{
		"no pool": {}, "connect": {Pool: pool, ConnectTimeout: -1}, "idle": {Pool: pool, IdleTimeout: -time.Second},
	} {
		if _, err := lb.NewStream(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
