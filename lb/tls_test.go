package lb_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/lb"
)

// trusting is a client's configuration that trusts the server.
func trusting(server *httptest.Server) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &tls.Config{RootCAs: roots}
}

// issue writes a self-signed certificate with this name, and its key, into files.
func issue(t *testing.T, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// startSecured serves the name of the client's certificate, which it asks for, by a certificate of its own.
func startSecured(t *testing.T, certFile, keyFile string, http2 bool) (s *httptest.Server, checks *atomic.Int64) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	checks = new(atomic.Int64)
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			checks.Add(1)
		}
		name := "nobody"
		if peers := r.TLS.PeerCertificates; len(peers) > 0 {
			name = peers[0].Subject.CommonName
		}
		fmt.Fprintf(w, "%s by HTTP/%d", name, r.ProtoMajor)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.EnableHTTP2 = http2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, checks
}

func TestTLSOfPools(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	issue(t, in("server.pem"), in("server.key"), "inventory.internal")
	issue(t, in("client.pem"), in("client.key"), "balancer")
	old, oldChecks := startSecured(t, in("server.pem"), in("server.key"), false)
	modern, modernChecks := startSecured(t, in("server.pem"), in("server.key"), true)
	var seconds atomic.Int64
	pools := newPools(t, lb.PoolsConfig{
		Now: func() time.Time { return time.Now().Add(time.Duration(seconds.Load()) * time.Second) },
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
	})
	port := netip.MustParseAddrPort(old.Listener.Addr().String()).Port()
	text := fmt.Sprintf(`pools:
  old: {targets: [{url: %[1]q}], tls: {ca: %[3]s/server.pem, server_name: inventory.internal}, health: {interval: 10ms, fall: 1}}
  modern: {targets: [{url: %[2]q}], protocol: h2, tls: {ca: %[3]s/server.pem, server_name: inventory.internal, certificate: %[3]s/client.pem, key: %[3]s/client.key}, health: {interval: 10ms, fall: 1}}
  found: {dns: {name: inventory.internal, port: %[4]d, scheme: https}, tls: {ca: %[3]s/server.pem}, health: {disabled: true}}
  untrusted: {targets: [{url: %[1]q}], health: {disabled: true}}
  stranger: {targets: [{url: %[1]q}], tls: {ca: %[3]s/server.pem, server_name: other.internal}, health: {disabled: true}}
`, old.URL, modern.URL, dir, port)
	prepared := prepare(t, pools, text)
	prepared.Commit()
	get := func(pool string) string {
		_, text, err := tryTransport(t, prepared.Transports[pool], http.MethodGet, nil)
		if err != nil {
			status, _, _, _ := lb.Classify(err)
			return fmt.Sprint(status)
		}
		return text
	}
	for pool, want := range map[string]string{
		"old": "nobody by HTTP/1", "modern": "balancer by HTTP/2", "found": "nobody by HTTP/1", "untrusted": "503", "stranger": "503",
	} {
		if got := get(pool); got != want {
			t.Errorf("%s: %s, want %s", pool, got, want)
		}
	}
	await(t, "checks by the same certificates", func() bool { return oldChecks.Load() > 0 && modernChecks.Load() > 0 })

	// Another client certificate is presented from the next connection on.
	issue(t, in("client.pem"), in("client.key"), "successor")
	seconds.Add(2)
	prepared.Transports["modern"].CloseIdleConnections()
	if got := get("modern"); got != "successor by HTTP/2" {
		t.Errorf("after a change of the client's certificate: %s", got)
	}
	if again := prepare(t, pools, text); again.Transports["modern"] != prepared.Transports["modern"] {
		t.Error("the pool was replaced for that")
	}
	// Other authorities in the same file make another pool.
	issue(t, in("server.pem"), in("server.key"), "inventory.internal")
	prepared = prepare(t, pools, text)
	prepared.Commit()
	if got := get("old"); got != "503" {
		t.Errorf("an authority that is trusted no more: %s", got)
	}
}
