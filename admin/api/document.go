package api

import (
	"fmt"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func documentOf(d *wire.Document) (*registry.Document, error) {
	out := &registry.Document{}
	for n := range d.Issuers {
		declared, err := issuerDeclared(&d.Issuers[n])
		if err != nil {
			return nil, err
		}
		out.Issuers = append(out.Issuers, declared)
	}
	for _, a := range d.APIs {
		declared := registry.DeclaredAPI{
			ID: a.ID, Identifier: a.Identifier, Name: a.Name, Format: auth.Format(a.Format), Lifetime: time.Duration(a.Lifetime) * time.Second,
			Algorithm: auth.Algorithm(a.Algorithm), Constraint: auth.Constraint(a.Constraint), Servers: a.Servers,
		}
		for _, scope := range a.Scopes {
			declared.Scopes = append(declared.Scopes, auth.ScopeDefinition(scope))
		}
		out.APIs = append(out.APIs, declared)
	}
	for n, c := range d.Clients {
		declared := registry.DeclaredClient{
			ID: c.ID, Name: c.Name, Description: c.Description, Owner: c.Owner, Labels: c.Labels, Disabled: c.Disabled,
			AuthMethod: auth.Method(c.AuthMethod), DefaultResource: c.DefaultResource,
		}
		proofs, err := proofsOf(&c.Proofs, nil)
		if wrong := fault.From(err); wrong != nil {
			return nil, wrong.At(fmt.Sprintf("/clients/%d/%s", n, wrong.Field))
		}
		declared.Proofs = proofs
		for at, rule := range proofs.Federation {
			declared.Rules = append(declared.Rules, registry.DeclaredRule{Issuer: c.Federation[at].Issuer, Claims: rule.Claims})
		}
		declared.Proofs.Federation = nil
		for _, grant := range c.Grants {
			declared.Grants = append(declared.Grants, registry.DeclaredGrant(grant))
		}
		for _, x := range c.Exchanges {
			declared.Exchanges = append(declared.Exchanges, registry.DeclaredExchange{Source: x.Source, Target: x.Target, Scopes: exchangeScopes(x.Scopes)})
		}
		if c.Secret != nil {
			declared.Secret = &registry.DeclaredSecret{Generate: c.Secret.Generate}
			if c.Secret.Value != "" {
				declared.Secret.Value = auth.PresentedSecret(c.Secret.Value)
			}
		}
		out.Clients = append(out.Clients, declared)
	}
	return out, nil
}

func issuerDeclared(d *wire.IssuerDecl) (registry.DeclaredIssuer, error) {
	var i auth.TrustedIssuer
	i.Kind = auth.IssuerKind(d.Kind)
	err := setIssuer(&i, &wire.TrustedIssuerBody{
		TrustedIssuerKeys: d.TrustedIssuerKeys, Audience: d.Audience, Algorithms: d.Algorithms, MaxLifetime: d.MaxLifetime, Replay: d.Replay,
	})
	return registry.DeclaredIssuer{ID: d.ID, Name: d.Name, Issuer: d.Issuer, Trust: i.Trust, Disabled: d.Disabled}, err
}

func declareIssuer(d *registry.DeclaredIssuer) wire.IssuerDecl {
	shown := showIssuer(&auth.TrustedIssuer{Trust: d.Trust})
	return wire.IssuerDecl{
		ID: d.ID, Name: d.Name, Issuer: d.Issuer, Kind: shown.Kind, TrustedIssuerKeys: shown.TrustedIssuerKeys, Audience: shown.Audience,
		Algorithms: shown.Algorithms, MaxLifetime: shown.MaxLifetime, Replay: shown.Replay, Disabled: d.Disabled,
	}
}

// declareProofs shows rules by the names of their issuers.
func declareProofs(c *registry.DeclaredClient) wire.Proofs {
	shown := showProofs(&c.Proofs)
	for _, rule := range c.Rules {
		made := wire.FederationRule{Issuer: rule.Issuer}
		for _, claim := range rule.Claims {
			made.Claims = append(made.Claims, wire.ClaimMatch(claim))
		}
		shown.Federation = append(shown.Federation, made)
	}
	return shown
}

func showDocument(d *registry.Document) wire.Document {
	out := wire.Document{Version: wire.DocumentVersion}
	for n := range d.Issuers {
		out.Issuers = append(out.Issuers, declareIssuer(&d.Issuers[n]))
	}
	for _, a := range d.APIs {
		shown := wire.APIDecl{
			ID: a.ID, Identifier: a.Identifier, Name: a.Name, Format: string(a.Format), Lifetime: int64(a.Lifetime / time.Second),
			Algorithm: string(a.Algorithm), Constraint: string(a.Constraint), Servers: a.Servers,
		}
		for _, scope := range a.Scopes {
			shown.Scopes = append(shown.Scopes, wire.Scope(scope))
		}
		out.APIs = append(out.APIs, shown)
	}
	for _, c := range d.Clients {
		shown := wire.ClientDecl{
			ID: c.ID, Name: c.Name, Description: c.Description, Owner: c.Owner, Labels: c.Labels, Disabled: c.Disabled,
			AuthMethod: string(c.AuthMethod), DefaultResource: c.DefaultResource,
			Proofs: declareProofs(&c),
		}
		for _, x := range c.Exchanges {
			made := wire.ExchangeDecl{Source: x.Source, Target: x.Target}
			for _, scope := range x.Scopes {
				if scope.Needs == scope.Scope {
					scope.Needs = ""
				}
				made.Scopes = append(made.Scopes, wire.ExchangeScope(scope))
			}
			shown.Exchanges = append(shown.Exchanges, made)
		}
		for _, grant := range c.Grants {
			shown.Grants = append(shown.Grants, wire.GrantDecl(grant))
		}
		out.Clients = append(out.Clients, shown)
	}
	return out
}
