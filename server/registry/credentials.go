package registry

import (
	"context"
	"errors"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const jwksURI = "jwks_uri"

// sameCredentials reports whether whoever can authenticate as the one client can as the other: by secrets, in whichever way they are sent, or by
// the same keys, certificate or rules.
func sameCredentials(a, b *auth.Client) bool {
	x, y := a.Proofs, b.Proofs
	x.DPoPBound, x.CertificateBound, y.DPoPBound, y.CertificateBound = false, false, false, false
	return (a.AuthMethod == b.AuthMethod || a.AuthMethod.BySecret() && b.AuthMethod.BySecret()) && x.Equal(&y)
}

// checkCredentials brings c, which was before, into its stored form, and makes sure that the actor may change how it authenticates, and that it
// can. It leaves the address of its keys to its callers, which look at that before their transaction.
func (r *Registry) checkCredentials(ctx context.Context, tx auth.Tx, actor auth.Actor, before, c *auth.Client) error {
	var err error
	if c.Proofs.JWKS, err = canonical(c.Proofs.JWKS); err != nil {
		return err
	}
	if err := c.Validate(); err != nil || sameCredentials(before, c) {
		return err
	}
	if err := needSecrets(actor, c.ID); err != nil {
		return err
	}
	if err := checkKeys(c); err != nil {
		return err
	}
	for i := range c.Proofs.Federation {
		if err := checkRule(ctx, tx, c.AuthMethod, &c.Proofs.Federation[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkRule returns fault.InvalidRequest for a rule that no workload can match.
func checkRule(ctx context.Context, tx auth.Tx, m auth.Method, rule *auth.FederationRule) error {
	issuer, err := tx.Issuers().TrustedIssuer(ctx, rule.Issuer)
	if errors.Is(err, fault.NotFound) {
		return fault.New(fault.InvalidRequest, "there is no trusted issuer "+rule.Issuer.String()).At("federation")
	}
	if err != nil {
		return err
	}
	return fits(issuer, m, rule)
}

// fits is checkRule for a rule whose issuer is known.
func fits(issuer *auth.TrustedIssuer, m auth.Method, rule *auth.FederationRule) error {
	wrong := func(detail string) error { return fault.New(fault.InvalidRequest, detail).At("federation") }
	if m == auth.FederatedJWT {
		if issuer.Kind != auth.OIDCIssuer {
			return wrong("the method federated_jwt goes with issuers of the kind oidc; for a trust domain take spiffe_jwt or spiffe_x509")
		}
		return nil
	}
	if issuer.Kind != auth.SPIFFEIssuer {
		return wrong("the method " + string(m) + " goes with issuers of the kind spiffe; for others take federated_jwt")
	}
	named := false
	for i := range rule.Claims {
		claim := &rule.Claims[i]
		if len(claim.Path) != 1 || claim.Path[0] != "sub" {
			if m == auth.SPIFFEX509 {
				return wrong("an X.509-SVID has no claim but sub, its SPIFFE ID")
			}
			continue
		}
		if !strings.HasPrefix(claim.Equals+claim.Prefix, issuer.Issuer+"/") {
			return wrong("sub must begin with " + issuer.Issuer + "/, the trust domain of the issuer")
		}
		named = true
	}
	if !named {
		return wrong("a rule of a trust domain has a claim sub, the SPIFFE ID")
	}
	return nil
}

// strangeURL is the error of an edit that sets an address of keys at which nobody has looked yet. It ends the transaction, which must not wait for a
// resolver.
type strangeURL string

// Error implements error.
func (strangeURL) Error() string { return "an address was not looked at" }

// vetted is an edit that returns a strangeURL if it sets an address that is neither the one before nor the one that was looked at.
func vetted(looked strangeURL, edit func(*auth.Client) error) func(*auth.Client) error {
	return func(c *auth.Client) error {
		before := c.Proofs.JWKSURI
		if err := edit(c); err != nil {
			return err
		}
		if uri := strangeURL(c.Proofs.JWKSURI); uri != "" && string(uri) != before && uri != looked {
			return uri
		}
		return nil
	}
}

// errNoSecrets is for a client that authenticates in another way: a secret would lie about unused, until somebody changes the method.
func errNoSecrets(c *auth.Client) error {
	return fault.New(fault.Conflict, "the client authenticates by "+string(c.AuthMethod)+" and takes no secrets; change its token_endpoint_auth_method first")
}
