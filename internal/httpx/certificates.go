package httpx

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificates presents the certificate in two PEM files, to clients or to servers, and the new one once the files change. They must be replaced
// together or one after the other: while they do not fit, the old pair goes on being served.
type Certificates struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	checked time.Time
	seen    [2]fileState // of the files that were last tried, good or bad
	current *tls.Certificate
}

// fileState changes whenever a file is written or replaced.
type fileState struct {
	size     int64
	modified time.Time
}

// checkEvery bounds how often handshakes look at the files.
const checkEvery = time.Second

// LoadCertificates reads the certificate chain and the private key, and returns an error if they cannot be used.
func LoadCertificates(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile, log: log, now: now}
	seen, err := c.look()
	if err != nil {
		return nil, err
	}
	if c.current, err = c.read(); err != nil {
		return nil, err
	}
	c.seen, c.checked = seen, now()
	return c, nil
}

// Get is a tls.Config.GetCertificate. It may be called by any number of goroutines.
func (c *Certificates) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.latest(hello.Context()), nil
}

// ForServer is a tls.Config.GetClientCertificate. It may be called by any number of goroutines.
func (c *Certificates) ForServer(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.latest(request.Context()), nil
}

func (c *Certificates) latest(ctx context.Context) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= checkEvery {
		c.checked = now
		c.reload(ctx)
	}
	return c.current
}

func (c *Certificates) reload(ctx context.Context) {
	seen, err := c.look()
	if err == nil && seen == c.seen {
		return
	}
	var fresh *tls.Certificate
	if err == nil {
		fresh, err = c.read()
	}
	if err != nil {
		if seen != c.seen { // said once for each state of the files
			c.log.ErrorContext(ctx, "certificate not reloaded, the old one goes on", slog.Any("error", err))
		}
		c.seen = seen
		return
	}
	c.seen, c.current = seen, fresh
	c.log.InfoContext(ctx, "certificate reloaded", slog.Time("not_after", fresh.Leaf.NotAfter))
}

func (c *Certificates) look() (seen [2]fileState, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if seen[i], err = stat(name); err != nil {
			return [2]fileState{}, err
		}
	}
	return seen, nil
}

func stat(name string) (fileState, error) {
	info, err := os.Stat(name)
	if err != nil {
		return fileState{}, fmt.Errorf("look at TLS file: %w", err)
	}
	return fileState{info.Size(), info.ModTime()}, nil
}

func (c *Certificates) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("load TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	if now := c.now(); now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("load TLS certificate %s: it expired at %s", c.certFile, pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &pair, nil
}
