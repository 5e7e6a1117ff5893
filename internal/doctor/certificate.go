package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/httpx"
)

const (
	nonOwner = 0o077
	// soon is how long before its end a certificate is worth a warning.
	soon = 14 * 24 * time.Hour
)

func (c Config) certificate() []step {
	return []step{single("certificate", func(_ context.Context, s step) Finding { return c.lookAtCertificate(s) })}
}

func (c Config) lookAtCertificate(s step) Finding {
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return s.fail("the issuer is no URL", "correct the setting issuer")
	}
	if c.TLSCert == "" {
		return c.withoutCertificate(s, u.Scheme == "https")
	}
	for _, path := range []string{c.TLSCert, c.TLSKey} {
		if info, err := os.Stat(path); err != nil {
			return s.fail(err.Error(), "correct the settings tls_cert and tls_key, and let the user that runs the server read the files")
		} else if !info.Mode().IsRegular() {
			return s.fail(path+" is no regular file", "correct the settings tls_cert and tls_key")
		}
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return s.fail(err.Error(), "put a certificate chain and its private key, in PEM, at tls_cert and tls_key")
	}
	return c.judgeCertificate(s, pair.Leaf, u)
}

func (c Config) judgeCertificate(s step, leaf *x509.Certificate, issuer *url.URL) Finding {
	left := leaf.NotAfter.Sub(c.Now())
	found := fmt.Sprintf("for %s, until %s", strings.Join(namesOf(leaf), ", "), leaf.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case left <= 0:
		return s.fail("it expired at "+leaf.NotAfter.UTC().Format(time.RFC3339), "renew it: servers take the new files while they run")
	case leaf.NotBefore.After(c.Now()):
		return s.fail("it is not valid before "+leaf.NotBefore.UTC().Format(time.RFC3339), "see to this machine's clock, or to who issues certificates")
	case issuer.Scheme == "https" && leaf.VerifyHostname(issuer.Hostname()) != nil:
		return s.fail(found+", which is not the issuer's host "+issuer.Hostname(), "get one that names it, unless a proxy in front has its own and does not check this one")
	case issuer.Scheme != "https":
		return s.fail(found+", and the issuer is not https", "set issuer to the https URL")
	case left < soon:
		return s.warn(found, "renew it: servers take the new files while they run")
	}
	if info, err := os.Stat(c.TLSKey); err == nil && info.Mode().Perm()&nonOwner != 0 {
		return s.warn(fmt.Sprintf("others may read its key (mode %04o)", info.Mode().Perm()), "chmod 600 "+c.TLSKey)
	}
	return s.ok(found)
}

func namesOf(leaf *x509.Certificate) (names []string) {
	names = append(names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func (c Config) withoutCertificate(s step, https bool) Finding {
	switch {
	case !https:
		return s.ok("none: the issuer is not https")
	case local(c.Listen):
		return s.ok("none: a proxy on this machine has it")
	}
	return s.warn("none, and "+c.Listen+" is not for this machine alone: tokens and secrets come in the clear",
		"set tls_cert and tls_key, or listen on loopback behind a proxy that has a certificate")
}

func (c Config) proxies() []step {
	return []step{single("trusted proxies", func(_ context.Context, s step) Finding { return c.lookAtProxies(s) })}
}

func (c Config) lookAtProxies(s step) Finding {
	proxies, err := httpx.ParseProxies(c.TrustedProxies)
	if err != nil {
		return s.fail(err.Error(), "correct the setting trusted_proxies")
	}
	if len(proxies) == 0 {
		if c.TLSCert == "" && strings.HasPrefix(c.Issuer, "https:") {
			return s.warn("none, and a proxy must be in front, since the issuer is https and the server is not", "name it, or the audit log has its address as everybody's")
		}
		return s.ok("none: X-Forwarded-For is not believed")
	}
	for _, network := range proxies {
		const cure = "name only the addresses of your proxies: whoever is among them can write any address into the audit log"
		switch {
		case network.Bits() == 0:
			return s.fail(network.String()+" is everybody", cure)
		case !private(network.Addr()) && network.Bits() < network.Addr().BitLen()-8:
			return s.warn(network.String()+" is a large part of the Internet", cure)
		}
	}
	return s.ok(strings.Join(c.TrustedProxies, ", "))
}

func private(address netip.Addr) bool {
	return address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast()
}
