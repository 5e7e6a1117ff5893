package api

import (
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

func documentOf(d *wire.Document) *registry.Document {
	out := &registry.Document{}
	for _, a := range d.APIs {
		declared := registry.DeclaredAPI{
			ID: a.ID, Identifier: a.Identifier, Name: a.Name, Format: auth.Format(a.Format), Lifetime: time.Duration(a.Lifetime) * time.Second,
			Algorithm: auth.Algorithm(a.Algorithm), Servers: a.Servers,
		}
		for _, scope := range a.Scopes {
			declared.Scopes = append(declared.Scopes, auth.ScopeDefinition(scope))
		}
		out.APIs = append(out.APIs, declared)
	}
	for _, c := range d.Clients {
		declared := registry.DeclaredClient{
			ID: c.ID, Name: c.Name, Description: c.Description, Owner: c.Owner, Labels: c.Labels, Disabled: c.Disabled,
			AuthMethod: auth.Method(c.AuthMethod), DefaultResource: c.DefaultResource,
		}
		for _, grant := range c.Grants {
			declared.Grants = append(declared.Grants, registry.DeclaredGrant(grant))
		}
		if c.Secret != nil {
			declared.Secret = &registry.DeclaredSecret{Generate: c.Secret.Generate}
			if c.Secret.Value != "" {
				declared.Secret.Value = auth.PresentedSecret(c.Secret.Value)
			}
		}
		out.Clients = append(out.Clients, declared)
	}
	return out
}

func showDocument(d *registry.Document) wire.Document {
	out := wire.Document{Version: wire.DocumentVersion}
	for _, a := range d.APIs {
		shown := wire.APIDecl{
			ID: a.ID, Identifier: a.Identifier, Name: a.Name, Format: string(a.Format), Lifetime: int64(a.Lifetime / time.Second),
			Algorithm: string(a.Algorithm), Servers: a.Servers,
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
		}
		for _, grant := range c.Grants {
			shown.Grants = append(shown.Grants, wire.GrantDecl(grant))
		}
		out.Clients = append(out.Clients, shown)
	}
	return out
}
