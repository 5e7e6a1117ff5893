package registry

import (
	"fmt"
	"slices"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// bounded returns a *DocumentError for a document that is too large to be looked at.
func (d *Document) bounded() error {
	var wrong DocumentError
	grants, values := 0, 0
	for i := range d.APIs {
		grants += len(d.APIs[i].Servers)
	}
	for i := range d.Clients {
		grants += len(d.Clients[i].Grants) + len(d.Clients[i].Exchanges)
		if s := d.Clients[i].Secret; s != nil && s.Value != (auth.SecretValue{}) {
			values++
		}
	}
	for _, bound := range []struct {
		at      pointer
		n, most int
		what    string
	}{
		{"/apis", len(d.APIs), MaxDeclaredAPIs, "APIs"},
		{"/trusted_issuers", len(d.Issuers), MaxDeclaredIssuers, "trusted issuers"},
		{"/clients", len(d.Clients), MaxDeclaredClients, "clients"},
		{"/clients", grants, MaxDeclaredGrants, "grants, exchanges and servers"},
		{"/clients", values, MaxDeclaredValues, "values of secrets"},
	} {
		if bound.n > bound.most {
			wrong.add(bound.at, fmt.Sprintf("a document declares at most %d %s; this one has %d", bound.most, bound.what, bound.n))
		}
	}
	return wrong.orNil()
}

func (d *Document) wantsSecrets() bool {
	return slices.ContainsFunc(d.Clients, func(c DeclaredClient) bool { return c.Secret != nil })
}

func (d *Document) tellsOfIssuers() bool {
	return len(d.Issuers) > 0 || slices.ContainsFunc(d.Clients, func(c DeclaredClient) bool { return len(c.Rules) > 0 })
}

// resolveAPIs finds the APIs that are declared among those that are there.
func (p *planner) resolveAPIs() {
	for identifier, a := range p.was.apis {
		after := *a
		p.identifiers[a.ID] = identifier
		p.apis[identifier] = &plannedAPI{before: a, after: &after}
		if p.prune && !a.BuiltIn() {
			p.apis[identifier].after = nil
		}
	}
	ids := map[auth.APIID]bool{}
	for i := range p.doc.APIs {
		d, at := &p.doc.APIs[i], pointer("/apis").index(i)
		found := p.apis[d.Identifier]
		want := d.api()
		switch {
		case found != nil && found.declared != nil:
			p.wrong.add(at.at("identifier"), "the API is declared twice")
			continue
		case want.BuiltIn():
			p.wrong.add(at.at("identifier"), "Countersign's own APIs cannot be declared; what can be is grants on them")
			continue
		case found == nil:
			found = &plannedAPI{}
			p.apis[d.Identifier] = found
			want.ID, want.Created = p.newAPIID(d, at, ids), p.now
		default:
			want.ID, want.Revision, want.Created, want.Servers = found.before.ID, found.before.Revision, found.before.Created, found.before.Servers
		}
		want.Updated = p.now
		found.at, found.declared, found.after = at, d, &want
		p.identifiers[want.ID] = d.Identifier
		p.declaredAPIs = append(p.declaredAPIs, found)
		p.checkAPI(at, want)
	}
}

func (p *planner) newAPIID(d *DeclaredAPI, at pointer, ids map[auth.APIID]bool) auth.APIID {
	if d.ID == "" {
		return auth.NewAPIID(p.now)
	}
	id, err := auth.ParseAPIID(d.ID)
	switch taken := p.was.apiByID[id]; {
	case err != nil || id == auth.APIID{}:
		p.wrong.add(at.at("api_id"), "an id of this kind is api_ and 22 letters and digits")
	case taken != nil:
		p.wrong.add(at.at("api_id"), "belongs to "+taken.Identifier+"; the identifier of an API cannot change")
	case ids[id]:
		p.wrong.add(at.at("api_id"), "is declared twice")
	}
	ids[id] = true
	return id
}

// checkAPI asks the domain for what is wrong with one field after another.
func (p *planner) checkAPI(at pointer, a auth.API) {
	valid := auth.API{Identifier: "urn:x:y", Name: "x"}
	defaultAPI(&valid)
	for found := fault.From(a.Validate()); found != nil; found = fault.From(a.Validate()) {
		member := found.Field
		switch member {
		case "identifier":
			a.Identifier = valid.Identifier
		case "name":
			a.Name = valid.Name
		case "scopes":
			a.Scopes = nil
		case "token_format":
			a.Format = valid.Format
		case "token_lifetime":
			a.Lifetime, member = valid.Lifetime, "token_lifetime_seconds"
		case "signing_algorithm":
			a.Algorithm = valid.Algorithm
		case "sender_constraint":
			a.Constraint = valid.Constraint
		}
		p.wrong.add(at.at(member), found.Detail)
		if member == "" {
			return
		}
	}
}

// resolveClients finds the clients that are declared among those that are there. The caller itself is never removed.
func (p *planner) resolveClients() {
	for name, c := range p.was.clients {
		after := *c
		p.names[c.ID] = name
		p.clients[name] = &plannedClient{before: c, after: &after}
		if p.prune && c.ID != p.actor.Client {
			p.clients[name].after = nil
		}
	}
	ids := map[auth.ClientID]bool{}
	for i := range p.doc.Clients {
		d, at := &p.doc.Clients[i], pointer("/clients").index(i)
		found := p.clients[d.Name]
		var want auth.Client
		switch {
		case found != nil && found.declared != nil:
			p.wrong.add(at.at("name"), "the client is declared twice")
			continue
		case found == nil:
			found = &plannedClient{}
			p.clients[d.Name] = found
			want = d.client(auth.Client{ID: p.newClientID(d, at, ids), Created: p.now})
		default:
			want = d.client(*found.before)
		}
		want.Updated = p.now
		want.Proofs.Federation = p.resolveRules(at, d)
		found.at, found.declared, found.after = at, d, &want
		p.names[want.ID] = d.Name
		p.declaredClients = append(p.declaredClients, found)
		p.checkClient(at, found)
	}
}

func (p *planner) newClientID(d *DeclaredClient, at pointer, ids map[auth.ClientID]bool) auth.ClientID {
	if d.ID == "" {
		return auth.NewClientID(p.now)
	}
	id, err := auth.ParseClientID(d.ID)
	switch taken := p.was.byID[id]; {
	case err != nil || id == auth.ClientID{}:
		p.wrong.add(at.at("client_id"), "an id of this kind is cl_ and 22 letters and digits")
	case taken != nil:
		p.wrong.add(at.at("client_id"), "belongs to the client "+taken.Name+"; to rename it, update it by its id first")
	case ids[id]:
		p.wrong.add(at.at("client_id"), "is declared twice")
	}
	ids[id] = true
	return id
}

// checkClient asks the domain for what is wrong with one field after another.
func (p *planner) checkClient(at pointer, planned *plannedClient) {
	set, err := canonical(planned.after.Proofs.JWKS)
	if wrong := fault.From(err); wrong != nil {
		p.wrong.add(at.at(wrong.Field), wrong.Detail)
		return
	}
	planned.after.Proofs.JWKS = set
	c := *planned.after
	if len(c.Proofs.Federation) < len(planned.declared.Rules) {
		c.AuthMethod, c.Proofs = auth.SecretBasic, auth.Proofs{} // what is wrong with the rules was told
	}
	for found := fault.From(c.Validate()); found != nil; found = fault.From(c.Validate()) {
		switch found.Field {
		case "name":
			c.Name = "x"
		case "description":
			c.Description = ""
		case "owner":
			c.Owner = ""
		case "labels":
			c.Labels = nil
		case "token_endpoint_auth_method":
			c.AuthMethod, c.Proofs = auth.SecretBasic, auth.Proofs{}
		}
		p.wrong.add(at.at(found.Field), found.Detail)
		if !slices.Contains([]string{"name", "description", "owner", "labels", "token_endpoint_auth_method"}, found.Field) {
			return
		}
	}
	if wrong := fault.From(checkKeys(&c)); wrong != nil {
		p.wrong.add(at.at(wrong.Field), wrong.Detail)
	}
}
