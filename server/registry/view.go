package registry

import (
	"maps"

	"github.com/countersign/countersign/server/auth"
)

// The views are what the audit log shows of a resource: in the words of the admin API, only what is meant for people, never a hash.

func clientView(c *auth.Client) map[string]any {
	view := map[string]any{
		"client_id": c.ID, "name": c.Name, "status": c.Status, "token_endpoint_auth_method": c.AuthMethod,
	}
	if c.Description != "" {
		view["description"] = c.Description
	}
	if c.Owner != "" {
		view["owner"] = c.Owner
	}
	if len(c.Labels) > 0 {
		view["labels"] = maps.Clone(c.Labels)
	}
	if c.DefaultResource != (auth.APIID{}) {
		view["default_resource"] = c.DefaultResource
	}
	viewProofs(view, &c.Proofs)
	return view
}

// viewProofs adds what a client authenticates by: of keys the thumbprints.
func viewProofs(view map[string]any, p *auth.Proofs) {
	if len(p.JWKS) > 0 {
		view["jwks_thumbprints"] = Thumbprints(p.JWKS)
	}
	for name, text := range map[string]string{"jwks_uri": p.JWKSURI, "token_endpoint_auth_signing_alg": string(p.SigningAlg)} {
		if text != "" {
			view[name] = text
		}
	}
	if p.Certificate != nil {
		view["tls_client_auth_"+string(p.Certificate.Field)] = p.Certificate.Value
	}
	if len(p.Federation) > 0 {
		view["federation"] = p.Federation
	}
	if p.DPoPBound {
		view["dpop_bound_access_tokens"] = true
	}
	if p.CertificateBound {
		view["tls_client_certificate_bound_access_tokens"] = true
	}
}

func issuerView(i *auth.TrustedIssuer) map[string]any {
	view := map[string]any{
		"trusted_issuer_id": i.ID, "name": i.Name, "issuer": i.Issuer, "kind": i.Kind, "algorithms": i.Algorithms,
		"max_lifetime_seconds": int64(i.MaxLifetime.Seconds()), "replay": i.Replay, "status": i.Status,
	}
	if len(i.JWKS) > 0 {
		view["jwks_thumbprints"] = Thumbprints(i.JWKS)
	}
	if i.JWKSURI != "" {
		view[jwksURI] = i.JWKSURI
	}
	if i.Audience != "" {
		view["audience"] = i.Audience
	}
	return view
}

func exchangeView(g *auth.ExchangeGrant) map[string]any {
	return map[string]any{"client_id": g.Client, "source_api": g.Source, "target_api": g.Target, "scopes": g.Scopes}
}

func secretView(s *auth.Secret) map[string]any {
	view := map[string]any{"secret_id": s.ID, "client_id": s.Client, "status": s.Status}
	if s.Hint != "" {
		view["hint"] = s.Hint
	}
	if s.Imported != "" {
		view["imported"] = true
	}
	if !s.Expires.IsZero() {
		view["expires_at"] = s.Expires.UTC()
	}
	return view
}

func apiView(a *auth.API) map[string]any {
	scopes := make([]map[string]string, len(a.Scopes))
	for i, s := range a.Scopes {
		scopes[i] = map[string]string{"name": s.Name, "description": s.Description}
	}
	view := map[string]any{
		"api_id": a.ID, "identifier": a.Identifier, "name": a.Name, "scopes": scopes, "token_format": a.Format,
		"token_lifetime_seconds": int64(a.Lifetime.Seconds()), "signing_algorithm": a.Algorithm, "servers": append([]auth.ClientID{}, a.Servers...),
	}
	if a.Constraint != auth.Unconstrained {
		view["sender_constraint"] = a.Constraint
	}
	return view
}

func grantView(g *auth.Grant) map[string]any {
	view := map[string]any{"client_id": g.Client, "api_id": g.API, "scopes": g.Scopes}
	if g.MayAct != (auth.ClientID{}) {
		view["may_act"] = g.MayAct
	}
	return view
}

// telling adds what a change took back to what was there after it.
func telling(view map[string]any, hit Hit) map[string]any {
	told := hitView(hit)
	maps.Copy(told, view)
	return told
}
