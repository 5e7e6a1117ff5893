package httpx

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Authorities are the certificates of a PEM file, which vouch for others, and the new ones once the file changes. While it cannot be read the
// old ones go on being believed.
type Authorities struct {
	file string
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	checked time.Time
	seen    fileState // of the file that was last tried, good or bad
	current *x509.CertPool
}

// LoadAuthorities reads the file, and returns an error if there is no certificate in it.
func LoadAuthorities(file string, log *slog.Logger, now func() time.Time) (*Authorities, error) {
	a := &Authorities{file: file, log: log, now: now, checked: now()}
	var err error
	if a.seen, err = stat(file); err != nil {
		return nil, err
	}
	a.current, err = a.read()
	return a, err
}

// Pool returns the certificates. It may be called by any number of goroutines.
func (a *Authorities) Pool() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if now.Sub(a.checked) < checkEvery {
		return a.current
	}
	a.checked = now
	seen, err := stat(a.file)
	if err == nil && seen == a.seen {
		return a.current
	}
	var fresh *x509.CertPool
	if err == nil {
		fresh, err = a.read()
	}
	switch {
	case err == nil:
		a.current = fresh
		a.log.Info("authorities of client certificates reloaded")
	case seen != a.seen: // said once for each state of the file
		a.log.Error("authorities of client certificates not reloaded, the old ones go on", slog.Any("error", err))
	}
	a.seen = seen
	return a.current
}

func (a *Authorities) read() (*x509.CertPool, error) {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("read authorities: " + a.file + " holds no certificate in PEM")
	}
	return pool, nil
}
