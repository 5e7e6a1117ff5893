package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// proofsOf returns what a body says of how a client authenticates. issuers are the trusted issuers that its rules name.
func proofsOf(body *wire.Proofs, issuers map[string]auth.TrustedIssuerID) (p auth.Proofs, err error) {
	p = auth.Proofs{
		JWKSURI: body.JWKSURI, SigningAlg: auth.Algorithm(body.SigningAlg), DPoPBound: body.DPoPBound, CertificateBound: body.CertificateBound,
	}
	if body.JWKS != nil {
		if p.JWKS, err = json.Marshal(body.JWKS); err != nil {
			return p, fmt.Errorf("encode key set: %w", err)
		}
	}
	if p.Certificate, err = certificateOf(body); err != nil {
		return p, err
	}
	for _, rule := range body.Federation {
		made := auth.FederationRule{Issuer: issuers[rule.Issuer]}
		for _, claim := range rule.Claims {
			made.Claims = append(made.Claims, auth.ClaimMatch(claim))
		}
		p.Federation = append(p.Federation, made)
	}
	return p, nil
}

func certificateOf(body *wire.Proofs) (name *auth.CertificateName, err error) {
	for _, member := range []auth.CertificateName{
		{Field: auth.SubjectDN, Value: body.SubjectDN},
		{Field: auth.SANDNS, Value: body.SANDNS},
		{Field: auth.SANURI, Value: body.SANURI},
		{Field: auth.SANIP, Value: body.SANIP},
		{Field: auth.SANEmail, Value: body.SANEmail},
	} {
		switch {
		case member.Value == "":
		case name != nil:
			return nil, fault.New(fault.InvalidRequest, "a client has one tls_client_auth_… (RFC 8705 §2.1.2), and tls_client_auth_"+string(name.Field)+" is set, too").
				At("tls_client_auth_" + string(member.Field))
		default:
			name = &member
		}
	}
	return name, nil
}

func showProofs(p *auth.Proofs) wire.Proofs {
	shown := wire.Proofs{
		JWKSURI: p.JWKSURI, SigningAlg: string(p.SigningAlg), DPoPBound: p.DPoPBound, CertificateBound: p.CertificateBound,
	}
	_ = json.Unmarshal(p.JWKS, &shown.JWKS) // it was checked when it was stored; nothing is nothing
	if p.Certificate != nil {
		*map[auth.CertificateField]*string{
			auth.SubjectDN: &shown.SubjectDN, auth.SANDNS: &shown.SANDNS, auth.SANURI: &shown.SANURI, auth.SANIP: &shown.SANIP, auth.SANEmail: &shown.SANEmail,
		}[p.Certificate.Field] = p.Certificate.Value
	}
	for _, rule := range p.Federation {
		made := wire.FederationRule{Issuer: rule.Issuer.String()}
		for _, claim := range rule.Claims {
			made.Claims = append(made.Claims, wire.ClaimMatch(claim))
		}
		shown.Federation = append(shown.Federation, made)
	}
	return shown
}

// issuersOf finds the trusted issuers that rules name.
func (s *service) issuersOf(ctx context.Context, rules []wire.FederationRule) (map[string]auth.TrustedIssuerID, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	names := make([]string, len(rules))
	for i, rule := range rules {
		names[i] = rule.Issuer
	}
	return s.Registry.IssuersNamed(ctx, from(ctx).actor, names)
}
