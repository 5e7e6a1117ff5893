package httpx

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"
)

// Certificates presents the certificate in two PEM files, to clients or to servers, and the new one once the files change. They must be replaced
// together or one after the other: while they do not fit, the old pair goes on being served.
type Certificates struct{ files followed[*tls.Certificate] }

// LoadCertificates reads the certificate chain and the private key, and returns an error if they cannot be used.
func LoadCertificates(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*Certificates, error) {
	c := &Certificates{followed[*tls.Certificate]{what: "certificate", files: []string{certFile, keyFile}, log: log, now: now}}
	c.files.read = func() (*tls.Certificate, []slog.Attr, error) { return readPair(certFile, keyFile, now()) }
	if err := c.files.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is a tls.Config.GetCertificate. It may be called by any number of goroutines.
func (c *Certificates) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.files.latest(hello.Context()), nil
}

// ForServer is a tls.Config.GetClientCertificate. It may be called by any number of goroutines.
func (c *Certificates) ForServer(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.files.latest(request.Context()), nil
}

func readPair(certFile, keyFile string, now time.Time) (*tls.Certificate, []slog.Attr, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("load TLS certificate %s with key %s: %w", certFile, keyFile, err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return nil, nil, fmt.Errorf("load TLS certificate %s: it expired at %s", certFile, pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &pair, []slog.Attr{slog.Time("not_after", pair.Leaf.NotAfter)}, nil
}
