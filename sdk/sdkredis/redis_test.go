package sdkredis_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/countersign/countersign/sdk/sdkredis"
)

// server is a redis-server of a test's own, on a port of its own and with nothing on disk.
type server struct {
	tb   testing.TB
	addr string
	args []string
	pid  int
	stop func()
}

// startRedis starts a redis-server with these further options.
func startRedis(tb testing.TB, options ...string) *server {
	tb.Helper()
	s := &server{tb: tb}
	for range 5 { // somebody else may take the port first
		s.addr = freeAddr(tb)
		_, port, _ := net.SplitHostPort(s.addr)
		s.args = append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", tb.TempDir()}, options...)
		if s.start() {
			tb.Cleanup(func() { s.stop() })
			return s
		}
	}
	tb.Fatal("redis-server does not start: is it installed?")
	return nil
}

// start runs the server and tells whether it answers. A shell between us and it ends it when we end, however that happens: its
// standard input is closed then.
func (s *server) start() bool {
	s.tb.Helper()
	script := `redis-server "$@" >/dev/null 2>&1 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, s.args...)...)
	input, err := cmd.StdinPipe()
	s.check(err)
	output, err := cmd.StdoutPipe()
	s.check(err)
	s.check(cmd.Start())
	s.stop = func() { input.Close(); _ = cmd.Wait() }
	line, err := bufio.NewReader(output).ReadString('\n')
	s.check(err)
	s.pid, err = strconv.Atoi(strings.TrimSpace(line))
	s.check(err)
	probe := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	defer probe.Close()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range 500 {
		info, err := probe.Info(s.tb.Context(), "server").Result()
		if err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.pid)) {
			return true
		}
		if err != nil && strings.HasPrefix(err.Error(), "NOAUTH") { // cannot be asked who it is
			return true
		}
		if err == nil && info != "" { // somebody else has the port
			break
		}
		<-again.C
	}
	s.stop()
	return false
}

func (s *server) check(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

// pause hangs the server: connections are accepted by the kernel, and nothing answers.
func (s *server) pause()  { s.check(syscall.Kill(s.pid, syscall.SIGSTOP)) }
func (s *server) resume() { s.check(syscall.Kill(s.pid, syscall.SIGCONT)) }

func (s *server) url() string { return "redis://" + s.addr }

// client is the bare library, which sees what is really there.
func (s *server) client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: s.addr})
	s.tb.Cleanup(func() { _ = client.Close() })
	return client
}

// freeAddr returns an address below the ports from which outgoing connections are made: nothing connects to itself there.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000))))
		if err == nil {
			defer listener.Close()
			return listener.Addr().String()
		}
	}
	tb.Fatal("no free port")
	return ""
}

func open(tb testing.TB, url string, opts ...sdkredis.Option) *sdkredis.Store {
	tb.Helper()
	s, err := sdkredis.Open(url, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

// generous is a budget for tests that are not about time.
func generous() sdkredis.Option { return sdkredis.WithBudget(time.Second) }

// await calls until it works, for as long as ten seconds.
func await(tb testing.TB, what string, try func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			tb.Fatalf("%s: %v", what, err)
		}
	}
}
