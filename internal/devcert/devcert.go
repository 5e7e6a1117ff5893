// Package devcert makes certificates for trying things out: a private certificate authority in a folder, and certificates for servers that
// it signs. The authority's key lies there as a plain file, so whoever reads it can pretend to be any server: it is not for production.
package devcert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The files of a folder.
const (
	AuthorityFile   = "ca.crt"
	authorityKey    = "ca.key"
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

const (
	minLifetime = time.Hour
	maxLifetime = 20 * 365 * 24 * time.Hour
	ownerOnly   = 0o700
)

// Config says what to make.
type Config struct {
	Folder          string // gets tls.crt, tls.key and a copy of ca.crt; made if need be
	AuthorityFolder string // keeps ca.crt and ca.key; empty: Folder
	// Names are the DNS names, "*.name" included, and IP addresses of the server; at least one.
	Names             []string
	Lifetime          time.Duration // of the certificate, from an hour to 20 years
	AuthorityLifetime time.Duration // of an authority that is made, likewise; not below Lifetime
	Force             bool          // replace a certificate that is not the authority's own, or a good one. The authority is never replaced
	Now               func() time.Time
}

// Made tells what there is now.
type Made struct {
	Authority   bool      // the authority is new
	Certificate bool      // the certificate is new; otherwise the one that was there is still good
	NotAfter    time.Time // when the certificate ends
}

// Make makes what is missing: the authority, and a certificate of it for the names. A certificate of this authority is replaced once its
// names are others or less than a third of its life is left. Private keys have mode 0600. Any number of processes may call it at once for one authority.
func Make(c Config) (Made, error) {
	if c.AuthorityFolder == "" {
		c.AuthorityFolder = c.Folder
	}
	if err := c.Validate(); err != nil {
		return Made{}, err
	}
	for _, folder := range []string{c.AuthorityFolder, c.Folder} {
		if err := os.MkdirAll(folder, ownerOnly); err != nil {
			return Made{}, fmt.Errorf("make folder for certificates: %w", err)
		}
	}
	unlock, err := lock(c.AuthorityFolder)
	if err != nil {
		return Made{}, err
	}
	defer unlock()
	ca, fresh, err := c.authority()
	if err != nil {
		return Made{}, err
	}
	made, err := c.certificate(ca)
	made.Authority = fresh
	return made, err
}

// Validate reports what is wrong with names and lifetimes.
func (c Config) Validate() error {
	var errs []error
	if len(c.Names) == 0 {
		errs = append(errs, errors.New("no name: allowed are DNS names and IP addresses, at least one"))
	}
	for _, name := range c.Names {
		if net.ParseIP(name) == nil && !isHost(name) {
			errs = append(errs, fmt.Errorf("name is %q: allowed is a DNS name such as auth.internal or *.internal, or an IP address", name))
		}
	}
	for _, one := range []struct {
		name string
		life time.Duration
	}{{"lifetime", c.Lifetime}, {"ca-lifetime", c.AuthorityLifetime}} {
		if one.life < minLifetime || one.life > maxLifetime {
			errs = append(errs, fmt.Errorf("%s is %v: allowed is %v to %v", one.name, one.life, minLifetime, maxLifetime))
		}
	}
	if c.AuthorityLifetime < c.Lifetime {
		errs = append(errs, fmt.Errorf("ca-lifetime is %v: at least lifetime (%v) is allowed, since a certificate ends with its authority", c.AuthorityLifetime, c.Lifetime))
	}
	return errors.Join(errs...)
}

const maxName, maxLabel = 253, 63

// isHost reports whether name is a host name (RFC 1123 §2.1), or one with "*" for its first label.
func isHost(name string) bool {
	if len(name) > maxName {
		return false
	}
	labels := strings.Split(name, ".")
	if labels[0] == "*" && len(labels) > 1 {
		labels = labels[1:]
	}
	return !slices.ContainsFunc(labels, func(label string) bool {
		return label == "" || len(label) > maxLabel || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, func(r rune) bool {
				return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
			})
	})
}

// lock keeps other processes from making an authority in the folder at the same time.
func lock(folder string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(folder, ".lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("open the lock of the certificate authority: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the certificate authority: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// sameNames reports whether the certificate is for exactly these names.
func sameNames(certificate *x509.Certificate, names []string) bool {
	var have []string
	have = append(have, certificate.DNSNames...)
	for _, address := range certificate.IPAddresses {
		have = append(have, address.String())
	}
	var want []string
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			name = address.String()
		}
		want = append(want, name)
	}
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(have))), slices.Compact(slices.Sorted(slices.Values(want))))
}
