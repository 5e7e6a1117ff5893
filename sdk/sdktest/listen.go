package sdktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Start returns an issuer that listens on loopback until the test ends.
func Start(tb testing.TB, opts ...Option) *Issuer {
	tb.Helper()
	i := newIssuer(newConfig(opts))
	server := httptest.NewUnstartedServer(i)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes are to fail
	i.listener = &listener{Listener: server.Listener, issuer: i, open: make(map[net.Conn]struct{})}
	server.Listener = i.listener
	if i.config.tls {
		certificate, pool, err := newCertificate(i.config.expired)
		if err != nil {
			tb.Fatalf("sdktest: make a certificate: %v", err)
		}
		server.TLS = &tls.Config{
			Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
		}
		server.StartTLS()
		i.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	} else {
		server.Start()
		i.client = &http.Client{Transport: &http.Transport{}}
	}
	i.address = server.URL
	i.url = orElse(i.config.url, i.address) + i.config.path
	tb.Cleanup(func() {
		i.Close()
		i.listener.closeAll()
		i.client.CloseIdleConnections()
		server.Close()
	})
	return i
}

// listener closes connections while the issuer is down.
type listener struct {
	net.Listener
	issuer *Issuer

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// Accept returns the next connection that is not refused.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		l.open[conn] = struct{}{}
		l.mu.Unlock()
		if l.refuses() {
			l.reset(conn)
			continue
		}
		return &connection{conn, l}, nil
	}
}

func (l *listener) refuses() bool {
	l.issuer.mu.Lock()
	defer l.issuer.mu.Unlock()
	if l.issuer.isDown(anyHost) {
		l.issuer.refused++
		return true
	}
	return false
}

// closeAll closes what is open.
func (l *listener) closeAll() {
	l.mu.Lock()
	var open []net.Conn
	for conn := range l.open {
		open = append(open, conn)
	}
	l.mu.Unlock()
	for _, conn := range open {
		l.reset(conn)
	}
}

// reset closes the connection so that the other side sees it broken.
func (l *listener) reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, conn)
}

type connection struct {
	net.Conn
	listener *listener
}

// Close closes the connection in good order.
func (c *connection) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// newCertificate returns a certificate for loopback that vouches for itself.
func newCertificate(expired bool) (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	ends := time.Now().Add(24 * time.Hour)
	if expired {
		ends = time.Now().Add(-time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sdktest"}, NotBefore: ends.Add(-48 * time.Hour), NotAfter: ends,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pool, nil
}
