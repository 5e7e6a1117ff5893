// Package certificate tells clients by the certificates of their TLS connections: those of configured authorities (RFC 8705 §2.1), those that are
// registered themselves (§2.2), and X.509-SVIDs of trusted SPIFFE domains (draft-ietf-oauth-spiffe-client-auth).
package certificate

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

// maxChain bounds how many certificates a client may bring along.
const maxChain = 8

// Documents returns key sets and trust bundles as they are written, as remotekeys.Keys does.
type Documents interface {
	// Document returns what is held; NewerDocument asks for it again unless that was done a moment ago. Errors are no verdict.
	Document(ctx context.Context, source remotekeys.Source) ([]byte, error)
	NewerDocument(ctx context.Context, source remotekeys.Source) ([]byte, error)
}

// Checker is an auth.Certificates. Its methods may be called by any number of goroutines.
type Checker struct {
	// Authorities returns the roots of TLSClientAuth; nil: there are none, and nobody authenticates so.
	Authorities func() *x509.CertPool
	Documents   Documents
	Directory   interface {
		TrustedIssuer(id auth.TrustedIssuerID) *auth.TrustedIssuer
	}
	Now func() time.Time
}

// Check implements auth.Certificates.
func (c *Checker) Check(ctx context.Context, record *auth.ClientRecord, chain []*x509.Certificate) (auth.Proven, error) {
	switch {
	case record == nil:
		return auth.Proven{}, &auth.Refusal{Reason: auth.UnknownClient}
	case len(chain) == 0 || len(chain) > maxChain:
		return auth.Proven{}, refuse(record, "the number of certificates")
	}
	var issuer *auth.TrustedIssuer
	var err error
	switch record.Client.AuthMethod {
	case auth.TLSClientAuth:
		err = c.named(record, chain)
	case auth.SelfSignedTLS:
		err = c.registered(ctx, record, chain[0])
	case auth.SPIFFEX509:
		issuer, err = c.workload(ctx, record, chain)
	case auth.SecretBasic, auth.SecretPost, auth.PrivateKeyJWT, auth.FederatedJWT, auth.SPIFFEJWT:
		err = refuse(record, "the method")
	}
	if err != nil {
		return auth.Proven{}, err
	}
	return auth.Proven{Issuer: issuer}, nil
}

// refuse says which part of a certificate is not what it has to be.
func refuse(record *auth.ClientRecord, detail string) error {
	return &auth.Refusal{Client: record.Client.ID, Reason: auth.BadCertificate, Detail: detail}
}

// named is RFC 8705 §2.1: a certificate of an authority with the name that is registered.
func (c *Checker) named(record *auth.ClientRecord, chain []*x509.Certificate) error {
	var roots *x509.CertPool
	if c.Authorities != nil {
		roots = c.Authorities()
	}
	if roots == nil {
		return refuse(record, "its authority: no authorities are configured (tls_client_ca)")
	}
	if err := c.verify(chain, roots); err != nil {
		return refuse(record, why(err))
	}
	if name := record.Client.Proofs.Certificate; name == nil || !bears(chain[0], name) {
		return refuse(record, "its name")
	}
	return nil
}

func (c *Checker) verify(chain []*x509.Certificate, roots *x509.CertPool) error {
	if slices.ContainsFunc(chain, costly) {
		return errCostly
	}
	between := x509.NewCertPool()
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

var errCostly = errors.New("an RSA key of more than 4096 bits, or an exponent above 65537")

// costly tells whether a signature by the certificate's key takes so long to check that strangers, who can bring along any chain, could keep
// the server busy with a hundred of them for each request.
func costly(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && (key.N.BitLen() > 4096 || key.E > 65537)
}

// why names what is wrong with a chain, in words of ours: those of the library quote names of the certificate.
func why(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason { //nolint:exhaustive // what is left is too rare to have words of its own
		case x509.Expired:
			return "its validity: it has expired or is not valid yet"
		case x509.IncompatibleUsage:
			return "its extended key usage: it is not for clients"
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its authority: it is none of those that are configured"
	}
	if errors.Is(err, errCostly) {
		return "a key of its chain: those by RSA have at most 4096 bits and an exponent of at most 65537"
	}
	return "its chain"
}

// bears reports whether a certificate has this very name, compared without wildcards.
func bears(certificate *x509.Certificate, name *auth.CertificateName) bool {
	switch name.Field {
	case auth.SubjectDN:
		got, read := auth.ReadDistinguishedName(certificate.RawSubject)
		want, parsed := auth.ParseDistinguishedName(name.Value)
		return read && parsed && got.Equal(want)
	case auth.SANDNS:
		return slices.ContainsFunc(certificate.DNSNames, func(dns string) bool { return strings.EqualFold(dns, name.Value) })
	case auth.SANURI:
		return slices.Contains(uris(certificate), name.Value)
	case auth.SANIP:
		want, err := netip.ParseAddr(name.Value)
		return err == nil && slices.ContainsFunc(certificate.IPAddresses, func(ip net.IP) bool {
			got, ok := netip.AddrFromSlice(ip)
			return ok && got.Unmap() == want.Unmap()
		})
	case auth.SANEmail:
		return slices.Contains(certificate.EmailAddresses, name.Value)
	}
	return false
}

func uris(certificate *x509.Certificate) []string {
	all := make([]string, len(certificate.URIs))
	for i, u := range certificate.URIs {
		all[i] = u.String()
	}
	return all
}

// registered is RFC 8705 §2.2: the client's own key set has the certificate. Who signed it does not matter, its validity does.
func (c *Checker) registered(ctx context.Context, record *auth.ClientRecord, certificate *x509.Certificate) error {
	if now := c.Now(); now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return refuse(record, "its validity: it has expired or is not valid yet")
	}
	p := &record.Client.Proofs
	thumbprint := proof.CertificateThumbprint(certificate)
	return c.within(ctx, remotekeys.Source{URL: p.JWKSURI, Inline: string(p.JWKS)}, func(set []byte) error {
		own, err := parseSet(set)
		if err != nil {
			return refuse(record, "the client's key set: it is malformed")
		}
		for i := range own {
			if own[i].is(certificate, thumbprint) {
				return nil
			}
		}
		return &stranger{refuse(record, "its key: it is not in the client's key set")}
	})
}

// stranger is a refusal of a certificate of which a newer document may know.
type stranger struct{ error }

// within judges by a document. A certificate that is new, after a rotation, is looked for in a newer one.
func (c *Checker) within(ctx context.Context, source remotekeys.Source, judge func(document []byte) error) error {
	document, err := c.Documents.Document(ctx, source)
	if err != nil {
		return unavailable(err)
	}
	judged := judge(document)
	if _, strange := errors.AsType[*stranger](judged); !strange {
		return judged
	}
	newer, err := c.Documents.NewerDocument(ctx, source)
	if err != nil {
		return unavailable(err)
	}
	if !bytes.Equal(document, newer) {
		judged = judge(newer)
	}
	if found, strange := errors.AsType[*stranger](judged); strange {
		return found.error
	}
	return judged
}

func unavailable(err error) error {
	return fault.Wrap(fault.Unavailable, "the keys of whom the certificate is to be told by cannot be had right now", err)
}
