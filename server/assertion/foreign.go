package assertion

import (
	"context"
	"slices"

	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

// foreign checks a token by which a trusted issuer says which workload the client is.
func (v *Verifier) foreign(ctx context.Context, client *auth.Client, t *token) (auth.Proven, error) {
	issuer, err := v.issuer(client, t)
	if err != nil {
		return auth.Proven{}, err
	}
	if !slices.Contains(issuer.Algorithms, string(current(t.Header.Algorithm))) {
		return auth.Proven{}, bad("alg: not one of the trusted issuer's")
	}
	audience := issuer.Audience
	if audience == "" {
		audience = v.config.Issuer
	}
	if err := t.only(audience); err != nil {
		return auth.Proven{}, err
	}
	if err := t.timely(v.config.Now(), issuer.MaxLifetime); err != nil {
		return auth.Proven{}, err
	}
	proven := auth.Proven{Issuer: issuer}
	if issuer.Replay != auth.Reusable {
		if proven.Use, err = t.once("issuer", issuer.Issuer); err != nil {
			return auth.Proven{}, err
		}
	}
	if err := v.signed(ctx, t, source(issuer)); err != nil {
		return auth.Proven{}, err
	}
	for i := range client.Proofs.Federation {
		if rule := &client.Proofs.Federation[i]; rule.Issuer == issuer.ID && matches(t.Payload, rule) {
			return proven, nil
		}
	}
	return auth.Proven{}, &problem{auth.NoRuleMatches, "the claims match no rule of the client"}
}

// issuer returns which of the trusted issuers that the client's rules name the token says it is of.
func (v *Verifier) issuer(client *auth.Client, t *token) (*auth.TrustedIssuer, error) {
	kind, name, err := named(client.AuthMethod, t)
	if err != nil {
		return nil, err
	}
	for i := range client.Proofs.Federation {
		issuer := v.config.Directory.TrustedIssuer(client.Proofs.Federation[i].Issuer)
		if issuer != nil && issuer.Kind == kind && issuer.Issuer == name && issuer.Status == auth.Active {
			return issuer, nil
		}
	}
	if kind == auth.SPIFFEIssuer {
		return nil, bad("sub: its trust domain is none of the client's rules")
	}
	return nil, bad("iss: none of the trusted issuers of the client's rules")
}

// named returns the kind and name of the issuer that a token says it is of.
func named(method auth.Method, t *token) (auth.IssuerKind, string, error) {
	if method == auth.SPIFFEJWT {
		if err := t.typed("JWT", "JOSE"); err != nil { // JWT-SVID §2.3
			return "", "", err
		}
		domain, ok := auth.TrustDomain(t.subject)
		switch {
		case !ok:
			return "", "", bad("sub: must be the SPIFFE ID of a workload")
		case t.Header.KeyID == "":
			return "", "", bad("kid: missing")
		}
		return auth.SPIFFEIssuer, domain, nil
	}
	if err := t.typed("JWT", proof.AssertionType); err != nil {
		return "", "", err
	}
	switch {
	case t.issuer == "":
		return "", "", bad("iss: missing")
	case t.subject == "":
		return "", "", bad("sub: missing")
	}
	return auth.OIDCIssuer, t.issuer, nil
}

// source is where the keys of a trusted issuer are to be had.
func source(issuer *auth.TrustedIssuer) remotekeys.Source {
	s := remotekeys.Source{Kind: remotekeys.Set, URL: issuer.JWKSURI, Inline: string(issuer.JWKS)}
	switch {
	case issuer.Kind == auth.SPIFFEIssuer:
		s.Kind = remotekeys.Bundle
	case s.URL == "" && s.Inline == "":
		s.Kind, s.URL = remotekeys.Discovery, issuer.Issuer
	}
	return s
}
