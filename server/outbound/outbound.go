// Package outbound asks servers of others for key sets and metadata, whose addresses others have chosen. It is made for that alone: it
// cannot be led to what only this machine reaches (server-side request forgery), to another place than the one that was registered, or
// into reading without end.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"
)

const (
	// MaxBody is how much of an answer is read, in bytes. A longer one is an error.
	MaxBody = 256 << 10
	// DefaultTimeout is how long an answer may take in all, from the look-up of the host's name to the last byte.
	DefaultTimeout = 5 * time.Second

	maxHeader = 16 << 10 // bytes
)

// Config is what New needs. The zero value is good.
type Config struct {
	// Allow names what may be asked beside the servers of the internet: CIDRs, addresses, and names of hosts, which are then believed
	// whatever their address is. For loopback addresses among them http will do.
	Allow []string
	// CAFile is a PEM file of authorities that are believed beside the system's; empty: none.
	CAFile string
	// Resolver looks up names; nil: that of the system.
	Resolver *net.Resolver
	// Timeout is how long an answer may take in all; 0: DefaultTimeout.
	Timeout time.Duration
}

// Client asks. It follows no redirect, uses no proxy, keeps no cookie and no connection. It is safe for concurrent use.
type Client struct {
	allow    allowed
	resolver *net.Resolver
	http     *http.Client
}

// New returns a client. Its error is for the operator: it names the setting.
func New(config Config) (*Client, error) {
	allow, err := parseAllowed(config.Allow)
	if err != nil {
		return nil, err
	}
	roots, err := authorities(config.CAFile)
	if err != nil {
		return nil, err
	}
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	c := &Client{allow: allow, resolver: config.Resolver}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:            c.dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true, // so that the address is looked at each time
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       config.Timeout,
	}
	return c, nil
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // those of the system
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator's own setting
	if err != nil {
		return nil, fmt.Errorf("outbound_ca: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("outbound_ca: %s holds no PEM certificate", file)
	}
	return roots, nil
}

var errRefused = errors.New("the host has an address that is refused")

// dial looks at the address that is really dialled: by then a name may have another one than when it was registered.
func (c *Client) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	dialer := net.Dialer{
		Resolver: c.resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			dialled, err := netip.ParseAddrPort(address)
			if err != nil || !c.reachable(host, dialled.Addr().Unmap()) {
				return errRefused
			}
			return nil
		},
	}
	conn, err := dialer.DialContext(ctx, network, hostPort)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return conn, nil
}
