package redisconn_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/testbed"
)

// TestTLS speaks to a Redis behind TLS, whose certificate is for 127.0.0.1 and of an authority that must be named.
func TestTLS(t *testing.T) {
	server := testbed.StartRedis(t)
	authority := httptest.NewTLSServer(nil) // lends its certificate
	defer authority.Close()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	url := "rediss://" + terminate(t, authority.TLS, strings.TrimSuffix(strings.TrimPrefix(server.URL(), "redis://"), "/0"))

	conn := open(t, url, redisconn.Config{Budget: time.Second, TLS: &tls.Config{RootCAs: roots}})
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	doubtful := open(t, url, redisconn.Config{Budget: time.Second})
	if err := doubtful.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("Ping = %v, want a complaint about the certificate", err)
	}
}

// terminate takes TLS connections and passes them on in the clear.
func terminate(t *testing.T, cfg *tls.Config, target string) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			redis, err := net.Dial("tcp", target)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			all.Go(func() { _, _ = io.Copy(redis, client); redis.Close() })
			all.Go(func() { _, _ = io.Copy(client, redis); client.Close() })
		}
	})
	return listener.Addr().String()
}
