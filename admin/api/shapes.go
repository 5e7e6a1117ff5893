package api

import (
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func apiOf(body *wire.APIBody) auth.API {
	a := auth.API{
		Identifier: body.Identifier, Name: body.Name, Format: auth.Format(body.Format), Lifetime: time.Duration(body.Lifetime) * time.Second,
		Algorithm: auth.Algorithm(body.Algorithm), Constraint: auth.Constraint(body.Constraint),
	}
	for _, scope := range body.Scopes {
		a.Scopes = append(a.Scopes, auth.ScopeDefinition(scope))
	}
	return a
}

func bodyOfAPI(a *auth.API) wire.APIBody {
	shown := showAPI(a)
	return wire.APIBody{
		Identifier: shown.Identifier, Name: shown.Name, Scopes: shown.Scopes, Format: shown.Format, Lifetime: shown.Lifetime, Algorithm: shown.Algorithm,
		Constraint: shown.Constraint,
	}
}

func showAPI(a *auth.API) wire.API {
	shown := wire.API{
		ID: a.ID.String(), Identifier: a.Identifier, Name: a.Name, Scopes: []wire.Scope{}, Format: string(a.Format),
		Lifetime: int64(a.Lifetime / time.Second), Algorithm: string(a.Algorithm), Constraint: string(a.Constraint), Servers: textOf(a.Servers), BuiltIn: a.BuiltIn(),
		Created: a.Created.UTC(), Updated: a.Updated.UTC(),
	}
	for _, scope := range a.Scopes {
		shown.Scopes = append(shown.Scopes, wire.Scope(scope))
	}
	return shown
}

func oneAPI(a *auth.API, status int, err error) (*single[wire.API], error) {
	if err != nil {
		return nil, err
	}
	return one(showAPI(a), a.Revision, status, "apis", a.ID.String()), nil
}

func showGrant(g *registry.GrantDetail) wire.Grant {
	return wire.Grant{
		Client: g.Client.String(), API: g.API.String(), Scopes: append([]string{}, g.Scopes...), MayAct: textUnlessZero(g.MayAct), Created: g.Created.UTC(), Updated: g.Updated.UTC(),
		LastUsed: optional(g.LastUsed), Tokens: g.Tokens,
	}
}

func oneGrant(g *registry.GrantDetail, status int) *single[wire.Grant] {
	return one(showGrant(g), g.Revision, status, "clients", g.Client.String(), "grants", g.API.String())
}

func showToken(d *registry.TokenDetail) wire.Token {
	t := wire.Token{
		ID: d.ID.String(), Client: d.Client.String(), Secret: textUnlessZero(d.Credential), API: d.API.String(), Scope: d.Scope,
		Issued: d.Issued.UTC(), Expires: d.Expires.UTC(), Status: string(d.Status),
		Binding: showBinding(d.Confirmation), Subject: textUnlessZero(d.Lineage.Subject), Actors: textOf(d.Actors()),
		MayAct: textUnlessZero(d.Lineage.MayAct), RefusedBy: showRefusedBy(d.RefusedBy),
	}
	for i := range d.Ancestors {
		t.Ancestors = append(t.Ancestors, showFormer(&d.Ancestors[i]))
	}
	return t
}

func showFormer(d *registry.AncestorDetail) wire.TokenFormer {
	f := wire.TokenFormer{
		ID: d.ID.String(), Client: d.Client.String(), Secret: textUnlessZero(d.Credential), Audience: d.Audience, Key: textUnlessZero(d.Key),
		Status: string(d.Status), RefusedBy: showRefusedBy(d.RefusedBy),
	}
	if d.Row != nil {
		f.Scope, f.Issued, f.Expires, f.Binding = d.Row.Scope, optional(d.Row.Issued), optional(d.Row.Expires), showBinding(d.Row.Confirmation)
	}
	return f
}

func showBinding(c auth.Confirmation) *wire.Binding {
	if !c.Bound() {
		return nil
	}
	return &wire.Binding{JWK: c.JWKText(), Certificate: c.CertificateText()}
}

func showRefusedBy(c *auth.Change) *wire.RefusedBy {
	if c == nil {
		return nil
	}
	kind := map[auth.ChangeKind]string{
		auth.RevokeToken: "token", auth.RevokeClient: "client", auth.RevokeGrant: "grant", auth.RevokeAPI: "api",
		auth.RevokeCredential: "credential", auth.RevokeKey: "key", auth.RevokeAll: "all",
	}[c.Kind]
	return &wire.RefusedBy{Kind: kind, Sequence: c.Sequence}
}

func showRevocation(done *registry.Revocation, err error) (*answer[wire.Revocation], error) {
	if err != nil {
		return nil, err
	}
	return answered(wire.Revocation{Hit: hitOf(done.Hit), Sequence: done.Sequence}, nil)
}

func showKey(d registry.KeyDetail) wire.Key {
	return wire.Key{
		ID: d.ID.String(), Algorithm: string(d.Algorithm), State: string(d.State), Created: d.Created.UTC(), ActiveAt: d.ActiveAt.UTC(),
		RevokedAt: optional(d.RevokedAt), SafeAt: optional(d.SafeToDrop),
	}
}
