package httpx

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Authorities are the certificates of a PEM file, which vouch for others, and the new ones once the file changes. While it cannot be read the
// old ones go on being believed.
type Authorities struct{ files followed[*x509.CertPool] }

// LoadAuthorities reads the file, and returns an error if there is no certificate in it.
func LoadAuthorities(file string, log *slog.Logger, now func() time.Time) (*Authorities, error) {
	a := &Authorities{followed[*x509.CertPool]{what: "authorities of client certificates", files: []string{file}, log: log, now: now}}
	a.files.read = func() (*x509.CertPool, []slog.Attr, error) {
		pool, err := readAuthorities(file)
		return pool, nil, err
	}
	if err := a.files.load(); err != nil {
		return nil, err
	}
	return a, nil
}

// Pool returns the certificates. It may be called by any number of goroutines.
func (a *Authorities) Pool() *x509.CertPool { return a.files.latest(context.Background()) }

func readAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file) //nolint:gosec // G304: the path is configuration
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("read authorities: " + file + " holds no certificate in PEM")
	}
	return pool, nil
}
