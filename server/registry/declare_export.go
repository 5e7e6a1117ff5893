package registry

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

// Export returns the document that declares what there is, in order of identifiers and names, without Countersign's own APIs and without
// secrets. Applied to a system that has none of it, with the same ids; applied to this one, it changes nothing.
func (r *Registry) Export(ctx context.Context, actor auth.Actor) (*Document, error) {
	if err := errors.Join(needToPlan(actor), need(actor, auth.ScopeIssuersRead)); err != nil {
		return nil, err
	}
	was, err := r.look(ctx, false)
	if err != nil {
		return nil, err
	}
	doc := &Document{}
	for _, name := range slices.Sorted(maps.Keys(was.issuers)) {
		doc.Issuers = append(doc.Issuers, declareIssuer(was.issuers[name]))
	}
	for _, identifier := range slices.Sorted(maps.Keys(was.apis)) {
		if a := was.apis[identifier]; !a.BuiltIn() {
			doc.APIs = append(doc.APIs, was.declareAPI(a))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was.clients)) {
		doc.Clients = append(doc.Clients, was.declareClient(was.clients[name]))
	}
	return doc, nil
}

// mayShow asks for issuers:read, too, where there are issuers.
func (s *snapshot) mayShow(actor auth.Actor) error {
	if len(s.issuers) == 0 {
		return nil
	}
	return need(actor, auth.ScopeIssuersRead)
}

func declareIssuer(i *auth.TrustedIssuer) DeclaredIssuer {
	d := DeclaredIssuer{ID: i.ID.String(), Name: i.Name, Issuer: i.Issuer, Trust: i.Trust}
	if d.Status = ""; i.Status == auth.Disabled {
		d.Disabled = new(true)
	}
	return d
}

// needToPlan asks for what whoever sees everything must hold.
func needToPlan(actor auth.Actor) error {
	return need(actor, auth.ScopeAPIsRead, auth.ScopeClientsRead, auth.ScopeGrantsRead)
}

func (s *snapshot) declareAPI(a *auth.API) DeclaredAPI {
	d := DeclaredAPI{
		ID: a.ID.String(), Identifier: a.Identifier, Name: a.Name, Scopes: a.Scopes, Format: a.Format, Lifetime: a.Lifetime, Algorithm: a.Algorithm,
		Constraint: a.Constraint,
	}
	for _, id := range a.Servers {
		d.Servers = append(d.Servers, s.byID[id].Name)
	}
	slices.Sort(d.Servers)
	return d
}

func (s *snapshot) declareClient(c *auth.Client) DeclaredClient {
	d := DeclaredClient{
		ID: c.ID.String(), Name: c.Name, Description: c.Description, Owner: c.Owner, AuthMethod: c.AuthMethod, Proofs: c.Proofs,
	}
	d.Proofs.Federation = nil
	for _, rule := range c.Proofs.Federation {
		declared := DeclaredRule{Issuer: rule.Issuer.String(), Claims: rule.Claims}
		if i := s.issuerByID[rule.Issuer]; i != nil {
			declared.Issuer = i.Name
		}
		d.Rules = append(d.Rules, declared)
	}
	if len(c.Labels) > 0 {
		d.Labels = c.Labels
	}
	if c.Status == auth.Disabled {
		d.Disabled = new(true)
	}
	for _, g := range s.of[c.ID] {
		declared := DeclaredGrant{API: s.apiByID[g.API].Identifier, Scopes: g.Scopes}
		if c := s.byID[g.MayAct]; c != nil {
			declared.MayAct = c.Name
		}
		d.Grants = append(d.Grants, declared)
	}
	for _, g := range s.exchangeOf[c.ID] {
		d.Exchanges = append(d.Exchanges, DeclaredExchange{Source: s.apiByID[g.Source].Identifier, Target: s.apiByID[g.Target].Identifier, Scopes: g.Scopes})
	}
	slices.SortFunc(d.Exchanges, func(a, b DeclaredExchange) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target))
	})
	slices.SortFunc(d.Grants, func(a, b DeclaredGrant) int { return cmp.Compare(a.API, b.API) })
	if len(d.Grants) > 0 { // else the first one shall set it
		d.DefaultResource = new(s.resource(c.DefaultResource))
	}
	return d
}

// resource returns the identifier of an API; empty if there is none.
func (s *snapshot) resource(id auth.APIID) string {
	if a := s.apiByID[id]; a != nil {
		return a.Identifier
	}
	return ""
}
