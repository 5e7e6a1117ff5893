package redisconn_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

// slack is what a busy machine may add to a bound.
const slack = 500 * time.Millisecond

func open(t *testing.T, url string, cfg redisconn.Config) *redisconn.Conn {
	t.Helper()
	conn, err := redisconn.Open(url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return conn
}

func TestCommands(t *testing.T) {
	conn := open(t, testbed.Redis(t).URL(), redisconn.Config{})
	ctx := t.Context()
	if err := conn.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := conn.Get(ctx, "none"); got != nil || err != nil {
		t.Fatalf("Get of nothing = %q, %v", got, err)
	}
	if err := conn.SetMany(ctx, redisconn.Entry{Key: "a", Value: []byte("1"), TTL: time.Minute}, redisconn.Entry{Key: "b", Value: []byte("\x00\xff"), TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	got, err := conn.GetMany(ctx, "a", "none", "b")
	if err != nil || string(got[0]) != "1" || got[1] != nil || string(got[2]) != "\x00\xff" {
		t.Fatalf("GetMany = %q, %v", got, err)
	}
	if err := conn.Set(ctx, "brief", []byte("x"), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	testbed.Wait(t, 10*time.Second, func() error {
		if left, err := conn.Get(ctx, "brief"); left != nil || err != nil {
			return errors.Join(errors.New("the value outlives its time"), err)
		}
		return nil
	})
	if err := conn.Set(ctx, "a", nil, 0); err == nil {
		t.Fatal("a value without time to live was set")
	}
	huge := redisconn.NewScript(`return redis.call('setrange', KEYS[1], ARGV[1], 'x')`)
	for _, tt := range []struct {
		length int
		want   bool
	}{{128 << 10, true}, {128<<10 + 1, false}, {100 << 20, false}} {
		testbed.Wait(t, 5*time.Second, func() error { // to make room takes Redis longer than a call may
			_, err := conn.Eval(ctx, huge, []string{"huge"}, tt.length-1)
			return err
		})
		one, err := conn.Get(ctx, "huge")
		many, errs := conn.GetMany(ctx, "b", "huge")
		if err != nil || errs != nil || (one != nil) != tt.want || (many[1] != nil) != tt.want || many[0] == nil {
			t.Fatalf("a value of %d bytes: %d and %d bytes, %v, %v", tt.length, len(one), len(many[1]), err, errs)
		}
	}
	script := redisconn.NewScript(`return {redis.call('incrby', KEYS[1], ARGV[1]), 'x'}`)
	for _, want := range []int64{4, 7} {
		answer, err := conn.Eval(ctx, script, []string{"a"}, 3)
		if list, ok := answer.([]any); err != nil || !ok || list[0] != want || list[1] != "x" {
			t.Fatalf("Eval = %v, %v, want %d", answer, err, want)
		}
	}
}

// TestRefusedCommands says that errors which speak of one command do not make Redis look dead.
func TestRefusedCommands(t *testing.T) {
	conn := open(t, testbed.Redis(t).URL(), redisconn.Config{})
	bad := redisconn.NewScript(`return redis.call('nonsense')`)
	for range 10 {
		if _, err := conn.Eval(t.Context(), bad, nil); err == nil || errors.Is(err, redisconn.ErrOpen) {
			t.Fatalf("Eval = %v, want what Redis says", err)
		}
	}
	if !conn.Ready() {
		t.Fatal("Redis is left alone because of a bad script")
	}
}

func TestWrongPassword(t *testing.T) {
	server := testbed.StartRedis(t, "--requirepass", "right")
	with := func(user string) string { return strings.Replace(server.URL(), "://", "://"+user+"@", 1) }
	if err := open(t, with(":right"), redisconn.Config{Budget: time.Second}).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := open(t, with(":s3cret"), redisconn.Config{Budget: time.Second, Probe: time.Hour})
	for range 3 {
		if err := conn.Ping(t.Context()); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Fatalf("Ping = %v, want a refusal without the password", err)
		}
	}
	if err := conn.Ping(t.Context()); !errors.Is(err, redisconn.ErrOpen) {
		t.Fatalf("Ping = %v, want ErrOpen", err)
	}
}

// TestOutage breaks Redis in every way: calls stay within the budget, then cost nothing, and work again by themselves.
func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		name          string
		breakIt, mend func(*testbed.Server, *testbed.Proxy)
	}{
		{
			"refused",
			func(_ *testbed.Server, p *testbed.Proxy) { p.Refuse() }, func(_ *testbed.Server, p *testbed.Proxy) { p.Pass() },
		},
		{
			"black-holed",
			func(_ *testbed.Server, p *testbed.Proxy) { p.BlackHole() }, func(_ *testbed.Server, p *testbed.Proxy) { p.Pass() },
		},
		{
			"hung",
			func(s *testbed.Server, _ *testbed.Proxy) { s.Pause() }, func(s *testbed.Server, _ *testbed.Proxy) { s.Resume() },
		},
		{
			"killed",
			func(s *testbed.Server, _ *testbed.Proxy) { s.Kill() }, func(s *testbed.Server, _ *testbed.Proxy) { s.Start() },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := testbed.StartRedis(t)
			proxy := testbed.StartProxy(t, server.Addr())
			metrics := prometheus.NewRegistry()
			conn := open(t, "redis://"+proxy.Addr(), redisconn.Config{Probe: 300 * time.Millisecond, Registerer: metrics})
			warm(t, conn, 20)
			tt.breakIt(server, proxy)
			for range 3 {
				began := time.Now()
				if err := conn.Ping(t.Context()); err == nil {
					t.Fatal("a broken Redis answered")
				}
				if took := time.Since(began); took > redisconn.DefaultBudget+slack {
					t.Fatalf("the call took %v", took)
				}
			}
			if conn.Ready() {
				t.Fatal("Redis is not left alone after three failures")
			}
			began := time.Now()
			for range 100 {
				if err := conn.Ping(t.Context()); !errors.Is(err, redisconn.ErrOpen) {
					t.Fatalf("Ping = %v, want ErrOpen", err)
				}
			}
			if took := time.Since(began); took > slack {
				t.Fatalf("100 calls to a Redis left alone took %v", took)
			}
			tt.mend(server, proxy)
			testbed.Wait(t, 5*time.Second, func() error { return conn.Ping(t.Context()) })
			if err := testutil.GatherAndCompare(metrics, strings.NewReader(`
				# HELP countersign_redis_up 1 while Redis is used, 0 while it is left alone because calls failed.
				# TYPE countersign_redis_up gauge
				countersign_redis_up 1
			`), "countersign_redis_up"); err != nil {
				t.Error(err)
			}
		})
	}
}

// warm makes n connections, which an outage breaks all at once.
func warm(t *testing.T, conn *redisconn.Conn, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for range 5 {
				_ = conn.Ping(t.Context()) // may be over its budget on a busy machine
			}
		})
	}
	all.Wait()
	testbed.Wait(t, 10*time.Second, func() error { return conn.Ping(t.Context()) })
}

func TestOpenDoesNotConnect(t *testing.T) {
	began := time.Now()
	conn := open(t, "redis://192.0.2.1:6379", redisconn.Config{}) // TEST-NET-1: nobody answers
	if took := time.Since(began); took > slack {
		t.Fatalf("Open took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := conn.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Ping with an ended context = %v", err)
	}
}

func TestClose(t *testing.T) {
	server := testbed.Redis(t)
	conn := open(t, server.URL(), redisconn.Config{})
	ended := make(chan struct{})
	heard := newListener()
	go func() { defer close(ended); conn.Subscribe(t.Context(), "c", heard) }()
	heard.expect(t, "subscribed")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select { // its last step, which Close waits for, is a moment before the function returns
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("Subscribe goes on after Close")
	}
	if err := conn.Ping(t.Context()); !errors.Is(err, redisconn.ErrClosed) {
		t.Fatalf("Ping = %v, want ErrClosed", err)
	}
	conn.Subscribe(t.Context(), "c", heard) // returns at once
}

// TestSentinel asks a Sentinel that answers while another one is black-holed and a third refuses.
func TestSentinel(t *testing.T) {
	first, second := testbed.StartRedis(t), testbed.StartRedis(t)
	sentinel := fakeSentinel(t, first.Addr())
	hole := testbed.StartProxy(t, first.Addr())
	hole.BlackHole()
	gone := testbed.StartProxy(t, first.Addr())
	gone.Refuse()
	conn := open(t, "redis+sentinel://"+hole.Addr()+","+gone.Addr()+","+sentinel.addr+"/main/0", redisconn.Config{Probe: 100 * time.Millisecond})
	if err := conn.Set(t.Context(), "who", []byte("first"), time.Minute); err != nil {
		t.Fatal(err)
	}
	other := open(t, second.URL(), redisconn.Config{})
	if err := other.Set(t.Context(), "who", []byte("second"), time.Minute); err != nil {
		t.Fatal(err)
	}
	sentinel.name(second.Addr())
	first.Kill()
	testbed.Wait(t, 5*time.Second, func() error {
		got, err := conn.Get(t.Context(), "who")
		if err == nil && string(got) != "second" {
			err = errors.New("the old primary answers")
		}
		return err
	})
}

type sentinelServer struct {
	addr    string
	mu      sync.Mutex
	primary string
}

func (s *sentinelServer) name(primary string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary = primary
}

// fakeSentinel answers whatever it is asked with the address of the primary.
func fakeSentinel(t *testing.T, primary string) *sentinelServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sentinelServer{addr: listener.Addr().String(), primary: primary}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				buffer := make([]byte, 1024)
				for {
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					s.mu.Lock()
					host, port, _ := net.SplitHostPort(s.primary)
					s.mu.Unlock()
					if _, err := conn.Write([]byte("*2\r\n+" + host + "\r\n+" + port + "\r\n")); err != nil {
						return
					}
				}
			})
		}
	})
	return s
}
