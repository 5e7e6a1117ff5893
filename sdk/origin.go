package sdk

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/countersign/countersign/sdk/proof"
)

// uri returns the URI of a request as its client saw it, for DPoP. What the client sent is gone by, not what handlers made of it
// (http.StripPrefix).
func (c *verifierConfig) uri(r *http.Request) string {
	if c.requestURI != nil {
		return c.requestURI(r)
	}
	if c.publicURL != "" {
		return c.publicURL + pathOf(r)
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host + pathOf(r)
}

// pathOf returns the path as it was sent, escaped, without the query.
func pathOf(r *http.Request) string {
	if path, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(path, "/") {
		return path
	}
	if u, err := url.Parse(r.RequestURI); err == nil && u.IsAbs() { // as to proxies, RFC 9112 §3.2.2
		return u.EscapedPath()
	}
	return r.URL.EscapedPath()
}

// clientCertificate returns the certificate of the client of a request, nil if there is none.
func (c *verifierConfig) clientCertificate(r *http.Request) (*x509.Certificate, error) {
	if c.fromProxy(r.RemoteAddr) {
		if headers := r.Header["Client-Cert"]; len(headers) > 0 {
			return proof.ParseClientCert(headers)
		}
		return nil, nil //nolint:nilnil // what the connection has is the proxy's own
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return r.TLS.PeerCertificates[0], nil
}

// fromProxy tells whether a peer's header Client-Cert is believed.
func (c *verifierConfig) fromProxy(peer string) bool {
	if len(c.proxies) == 0 {
		return false
	}
	host, _, err := net.SplitHostPort(peer)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	for _, p := range c.proxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}
