package certificate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/certificate"
)

// BenchmarkHandshake is what a connection costs, both ends together, without and with a certificate of the client. Once per connection that is,
// not per request.
func BenchmarkHandshake(b *testing.B) {
	pair, root := signed(b)
	for _, bench := range []struct {
		name   string
		client []tls.Certificate
	}{{"TLS", nil}, {"mutual TLS", []tls.Certificate{pair}}} {
		b.Run(bench.name, func(b *testing.B) {
			server := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true, MinVersion: tls.VersionTLS13}
			client := &tls.Config{Certificates: bench.client, RootCAs: root, ServerName: "orders.test", MinVersion: tls.VersionTLS13}
			b.ReportAllocs()
			for b.Loop() {
				handshake(b, server, client)
			}
		})
	}
}

// BenchmarkCheck is what a request costs whose client authenticates by the certificate of its connection.
func BenchmarkCheck(b *testing.B) {
	pair, root := signed(b)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		b.Fatal(err)
	}
	checker := &certificate.Checker{Authorities: func() *x509.CertPool { return root }, Now: time.Now}
	record := &auth.ClientRecord{Client: &auth.Client{AuthMethod: auth.TLSClientAuth, Proofs: auth.Proofs{
		Certificate: &auth.CertificateName{Field: auth.SANDNS, Value: "orders.test"},
	}}}
	for b.Loop() {
		if _, err := checker.Check(b.Context(), record, []*x509.Certificate{leaf}); err != nil {
			b.Fatal(err)
		}
	}
}

func handshake(b *testing.B, server, client *tls.Config) {
	b.Helper()
	left, right := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- tls.Server(left, server).HandshakeContext(b.Context()) }()
	if err := tls.Client(right, client).HandshakeContext(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	_, _ = left.Close(), right.Close()
}

// signed returns a certificate for both ends, with the pool of its authority.
func signed(b *testing.B) (tls.Certificate, *x509.CertPool) {
	b.Helper()
	authority, leaf := key(b), key(b)
	template := func(serial int64, ca bool) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"orders.test"}, IsCA: ca, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}
	}
	issuer := template(1, true)
	rootDER, err := x509.CreateCertificate(rand.Reader, issuer, issuer, &authority.PublicKey, authority)
	if err != nil {
		b.Fatal(err)
	}
	root, err := x509.ParseCertificate(rootDER)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(2, false), root, &leaf.PublicKey, authority)
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leaf}, pool
}

func key(b *testing.B) *ecdsa.PrivateKey {
	b.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return k
}
