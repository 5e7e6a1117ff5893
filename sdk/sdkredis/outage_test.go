package sdkredis_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/sdkredis"
)

// within is how long a call of a budget of 50 ms may take on a machine that has much else to do.
const within = time.Second

func TestNoCallOutlastsItsBudget(t *testing.T) {
	redis := startRedis(t)
	s := open(t, redis.url())
	await(t, "answers", func(ctx context.Context) error { return s.Write(ctx, "key", []byte("x"), time.Minute) })
	fresh := open(t, redis.url())
	redis.pause()
	calls := map[string]func(context.Context) error{
		"read":    func(ctx context.Context) error { _, err := s.Read(ctx, "key"); return err },
		"write":   func(ctx context.Context) error { return s.Write(ctx, "key", []byte("x"), time.Minute) },
		"acquire": func(ctx context.Context) error { _, err := s.Acquire(ctx, "lease", "x", time.Minute); return err },
		"release": func(ctx context.Context) error { return s.Release(ctx, "lease", "x") },
		"connect": func(ctx context.Context) error { _, err := fresh.Read(ctx, "key"); return err },
	}
	for name, call := range calls {
		began := time.Now()
		if err := call(t.Context()); err == nil || time.Since(began) > within {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
	redis.resume()
	await(t, "answers again", func(ctx context.Context) error {
		got, err := s.Read(ctx, "key")
		if err == nil && string(got) != "x" {
			err = fmt.Errorf("got %q", got)
		}
		return err
	})
}

// Connections that died with a Redis are not tried one after the other once it is back: three calls find out, and then it works.
func TestRestart(t *testing.T) {
	redis := startRedis(t)
	s := open(t, redis.url(), generous())
	var all sync.WaitGroup
	for range 32 { // as many connections as there may be
		all.Go(func() {
			if _, err := s.Read(t.Context(), "key"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	redis.stop()
	if !redis.start() {
		t.Fatal("it does not start again")
	}
	for n := 0; ; n++ {
		if _, err := s.Read(t.Context(), "key"); err == nil {
			break
		}
		if n == 3 {
			t.Fatalf("call %d after the restart failed", n)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	s := open(t, "redis://"+freeAddr(t))
	for range 100 { // beyond the size of the pool
		began := time.Now()
		if _, err := s.Read(t.Context(), "key"); err == nil || time.Since(began) > within {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
	}
}

// TestSentinel asks a Sentinel that answers while another one is silent, and follows when it names another primary.
func TestSentinel(t *testing.T) {
	first, second := startRedis(t), startRedis(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	sentinel := startSentinel(t, first.addr)
	s := open(t, "redis+sentinel://"+silent.Addr().String()+","+freeAddr(t)+","+sentinel.addr+"/main", generous())
	if err := s.Write(t.Context(), "key", []byte("first"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, first.url(), generous()).Read(t.Context(), "key"); string(got) != "first" || err != nil {
		t.Errorf("the primary has %q, %v", got, err)
	}
	sentinel.name(second.addr)
	if err := first.client().SlaveOf(t.Context(), "127.0.0.1", "1").Err(); err != nil { // demoted: refuses to write
		t.Fatal(err)
	}
	await(t, "writes to the new primary", func(ctx context.Context) error { return s.Write(ctx, "key", []byte("second"), time.Minute) })
	if got, err := open(t, second.url(), generous()).Read(t.Context(), "key"); string(got) != "second" || err != nil {
		t.Errorf("the new primary has %q, %v", got, err)
	}
}

// sentinel answers whatever it is asked with the address of the primary.
type sentinel struct {
	addr    string
	mu      sync.Mutex
	primary string
}

func (s *sentinel) name(primary string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary = primary
}

func startSentinel(t *testing.T, primary string) *sentinel {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sentinel{addr: listener.Addr().String(), primary: primary}
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
				question := make([]byte, 1024)
				if _, err := conn.Read(question); err != nil {
					return
				}
				s.mu.Lock()
				host, port, _ := net.SplitHostPort(s.primary)
				s.mu.Unlock()
				fmt.Fprintf(conn, "*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	return s
}

// TestTLS speaks to a Redis behind TLS, whose certificate is for 127.0.0.1 and of an authority that must be named.
func TestTLS(t *testing.T) {
	redis := startRedis(t)
	authority := httptest.NewTLSServer(nil) // lends its certificate
	defer authority.Close()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	url := "rediss://" + terminate(t, authority.TLS, redis.addr)
	trusting := open(t, url, generous(), sdkredis.WithTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	if _, err := trusting.Read(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	if _, err := open(t, url, generous()).Read(t.Context(), "key"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want a complaint about the certificate", err)
	}
}

// terminate takes TLS connections and passes them on in the clear.
func terminate(t *testing.T, config *tls.Config, target string) (addr string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			secured, err := listener.Accept()
			if err != nil {
				return
			}
			clear, err := net.Dial("tcp", target)
			if err != nil {
				t.Error(err)
				secured.Close()
				return
			}
			all.Go(func() { _, _ = io.Copy(clear, secured); clear.Close() })
			all.Go(func() { _, _ = io.Copy(secured, clear); secured.Close() })
		}
	})
	return listener.Addr().String()
}
