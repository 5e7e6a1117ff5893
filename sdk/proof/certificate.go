package proof

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxClientCert is how long a Client-Cert header may be, in bytes, and all that of a Client-Cert-Chain.
	MaxClientCert = 32 << 10
	// MaxClientCertChain is how many certificates a Client-Cert-Chain may have.
	MaxClientCertChain = 10
)

var (
	// ErrNoClientCert means that a request has no Client-Cert header.
	ErrNoClientCert = errors.New("no client certificate")
	// ErrClientCert means that a Client-Cert or Client-Cert-Chain header is malformed.
	ErrClientCert = errors.New("malformed client certificate header")
)

// CertificateThumbprint returns the SHA-256 of a certificate in DER. In base64url it is the x5t#S256 of tokens that are bound to it
// (RFC 8705 §3.1).
func CertificateThumbprint(certificate *x509.Certificate) [32]byte {
	return sha256.Sum256(certificate.Raw)
}

// ParseClientCert reads the certificate by which the client of a proxy was authenticated (RFC 9440 §2.2), given the values of the header
// Client-Cert, one per header line. Whoever can set that header can be anybody: ask only if the request came from a proxy that removes
// what clients send. Nothing was checked about the certificate. The error is ErrNoClientCert or ErrClientCert.
func ParseClientCert(headers []string) (*x509.Certificate, error) {
	switch {
	case len(headers) == 0:
		return nil, ErrNoClientCert
	case len(headers) > 1:
		return nil, fmt.Errorf("%w: more than one Client-Cert", ErrClientCert)
	case len(headers[0]) > MaxClientCert:
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrClientCert, MaxClientCert)
	}
	return certificate(strings.Trim(headers[0], " "))
}

// ParseClientCertChain reads the certificates between the client's own and the one that its proxy trusts (RFC 9440 §2.3), given the values
// of the header Client-Cert-Chain. What is said of ParseClientCert holds. There may be none. The error is ErrClientCert.
func ParseClientCertChain(headers []string) ([]*x509.Certificate, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	list := strings.Join(headers, ",") // RFC 8941 §4.2
	if len(list) > MaxClientCert {
		return nil, fmt.Errorf("%w: a chain longer than %d bytes", ErrClientCert, MaxClientCert)
	}
	var chain []*x509.Certificate
	for member := range strings.SplitSeq(list, ",") {
		if len(chain) == MaxClientCertChain {
			return nil, fmt.Errorf("%w: a chain of more than %d", ErrClientCert, MaxClientCertChain)
		}
		c, err := certificate(strings.Trim(member, " \t"))
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// certificate reads an RFC 8941 §3.3.5 byte sequence without parameters.
func certificate(item string) (*x509.Certificate, error) {
	inside, opened := strings.CutPrefix(item, ":")
	inside, closed := strings.CutSuffix(inside, ":")
	if !opened || !closed || strings.ContainsAny(inside, "\r\n") {
		return nil, fmt.Errorf("%w: not one byte sequence", ErrClientCert)
	}
	der, err := base64.StdEncoding.Strict().DecodeString(inside)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64", ErrClientCert)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: not one certificate in DER", ErrClientCert)
	}
	return c, nil
}
