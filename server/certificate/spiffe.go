package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

// useX509 marks the authorities of X.509-SVIDs in a trust bundle (SPIFFE Trust Domain and Bundle §4.2.2).
const useX509 = "x509-svid"

// workload checks an X.509-SVID: the trust domain's authorities vouch for it, and a rule of the client matches its SPIFFE ID. It returns the
// trust domain.
func (c *Checker) workload(ctx context.Context, record *auth.ClientRecord, chain []*x509.Certificate) (*auth.TrustedIssuer, error) {
	id, ok := spiffeID(chain[0])
	if !ok {
		return nil, refuse(record, "its SPIFFE ID: an X.509-SVID has one URI, spiffe://…, and is no authority")
	}
	rule, issuer := c.rule(record, id)
	if rule == nil {
		return nil, &auth.Refusal{Client: record.Client.ID, Reason: auth.NoRuleMatches, Detail: "its SPIFFE ID"}
	}
	bundle := remotekeys.Source{Kind: remotekeys.Bundle, URL: issuer.JWKSURI, Inline: string(issuer.JWKS)}
	return issuer, c.within(ctx, bundle, func(set []byte) error {
		members, err := parseSet(set)
		if err != nil {
			return refuse(record, "the trust bundle: it is malformed")
		}
		roots := x509.NewCertPool()
		for _, m := range members {
			if m.use == useX509 && len(m.certificates) > 0 {
				roots.AddCert(m.certificates[0])
			}
		}
		if err := c.verify(chain, roots); err != nil {
			return unknown(err, refuse(record, why(err)))
		}
		return nil
	})
}

// unknown marks a refusal if the cause of it is that nobody vouches for the certificate, which may be for want of a newer bundle.
func unknown(cause, refusal error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](cause); ok {
		return &stranger{refusal}
	}
	return refusal
}

// spiffeID returns the SPIFFE ID of a leaf certificate (X.509-SVID §2, §4).
func spiffeID(leaf *x509.Certificate) (string, bool) {
	if len(leaf.URIs) != 1 || leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return "", false
	}
	id := leaf.URIs[0].String()
	_, ok := auth.TrustDomain(id)
	return id, ok
}

// rule returns the first rule that a SPIFFE ID matches, with its trust domain.
func (c *Checker) rule(record *auth.ClientRecord, id string) (*auth.FederationRule, *auth.TrustedIssuer) {
	for i := range record.Client.Proofs.Federation {
		rule := &record.Client.Proofs.Federation[i]
		issuer := c.Directory.TrustedIssuer(rule.Issuer)
		if issuer == nil || issuer.Kind != auth.SPIFFEIssuer || issuer.Status != auth.Active || !strings.HasPrefix(id, issuer.Issuer+"/") {
			continue
		}
		matches := true
		for k := range rule.Claims {
			m := &rule.Claims[k]
			matches = matches && len(m.Path) == 1 && m.Path[0] == "sub" && m.Matches(id)
		}
		if matches {
			return rule, issuer
		}
	}
	return nil, nil
}
