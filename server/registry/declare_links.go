package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// client finds a client that the document names, or says what is wrong with the name.
func (p *planner) client(at pointer, name string) *plannedClient {
	c := p.clients[name]
	switch {
	case c == nil:
		p.wrong.add(at, "there is no client of this name, and the document declares none")
		return nil
	case c.after == nil:
		p.wrong.add(at, "the document does not declare this client, so that it would be removed")
		return nil
	}
	return c
}

// api is client for an API.
func (p *planner) api(at pointer, identifier string) *plannedAPI {
	a := p.apis[identifier]
	switch {
	case a == nil:
		p.wrong.add(at, "there is no API of this identifier, and the document declares none")
		return nil
	case a.after == nil:
		p.wrong.add(at, "the document does not declare this API, so that it would be removed")
		return nil
	}
	return a
}

// resolveServers sets who serves the declared APIs: with prune whom the document names, else also who does already.
func (p *planner) resolveServers() {
	for _, a := range p.declaredAPIs {
		var servers []auth.ClientID
		for i, name := range a.declared.Servers {
			at := a.at.at("servers").index(i)
			if c := p.client(at, name); c != nil && slices.Contains(servers, c.after.ID) {
				p.wrong.add(at, "the client is named twice")
			} else if c != nil {
				servers = append(servers, c.after.ID)
			}
		}
		if !p.prune && a.before != nil {
			for _, id := range a.before.Servers {
				if !slices.Contains(servers, id) {
					servers = append(servers, id)
				}
			}
		}
		a.after.Servers = servers
	}
}

// resolveGrants sets what clients are granted: the declared clients what the document says and, without prune, what they have beyond it;
// the others what they have.
func (p *planner) resolveGrants() {
	for key, g := range p.was.grants {
		api, client := p.apis[p.was.apiByID[key.api].Identifier], p.clients[p.was.byID[key.client].Name]
		kept := &plannedGrant{api: api, client: client, before: g, after: g}
		if api.after == nil || client.after == nil || p.prune && client.declared != nil {
			kept.after = nil
		}
		p.grants[key] = kept
	}
	for _, c := range p.declaredClients {
		seen := map[string]bool{}
		for i := range c.declared.Grants {
			d, at := &c.declared.Grants[i], c.at.at("grants").index(i)
			if seen[d.API] {
				p.wrong.add(at.at("api"), "the client has two grants on this API")
				continue
			}
			seen[d.API] = true
			if api := p.api(at.at("api"), d.API); api != nil {
				p.resolveGrant(at, api, c, d)
			}
		}
	}
}

func (p *planner) resolveGrant(at pointer, api *plannedAPI, c *plannedClient, d *DeclaredGrant) {
	offered := api.after.ScopeNames()
	for i, scope := range d.Scopes {
		if !offered.Has(scope) {
			p.wrong.add(at.at("scopes").index(i), "the API does not offer this scope")
		}
	}
	key := grantKey{c.after.ID, api.after.ID}
	want := &auth.Grant{Client: key.client, API: key.api, Scopes: auth.NewScopes(d.Scopes...), Created: p.now, Updated: p.now}
	if d.MayAct != "" {
		if actor := p.client(at.at("may_act"), d.MayAct); actor != nil {
			want.MayAct = actor.after.ID
		}
	}
	g := p.grants[key]
	if g == nil {
		g = &plannedGrant{api: api, client: c}
		p.grants[key] = g
	} else {
		want.Revision, want.Created = g.before.Revision, g.before.Created
	}
	g.after = want
	c.grants = append(c.grants, g)
	if len(d.Scopes) == 0 {
		p.wrong.add(at.at("scopes"), fault.From(want.Validate(api.after)).Detail)
	}
}

// resolveDefaults sets the default resources of declared clients.
func (p *planner) resolveDefaults() {
	for _, c := range p.declaredClients {
		if c.declared.DefaultResource != nil {
			p.declareDefault(c, *c.declared.DefaultResource)
			continue
		}
		if g := p.grants[grantKey{c.after.ID, c.after.DefaultResource}]; g == nil || g.after == nil {
			c.after.DefaultResource = p.firstGrant(c)
		}
	}
}

func (p *planner) declareDefault(c *plannedClient, identifier string) {
	c.after.DefaultResource = auth.APIID{}
	if identifier == "" {
		return
	}
	at := c.at.at("default_resource")
	api := p.api(at, identifier)
	if api == nil {
		return
	}
	if g := p.grants[grantKey{c.after.ID, api.after.ID}]; g == nil || g.after == nil {
		p.wrong.add(at, "the client has no grant on this API")
	}
	c.after.DefaultResource = api.after.ID
}

// firstGrant returns the API of the first grant, which becomes the default resource of a client that had none.
func (p *planner) firstGrant(c *plannedClient) auth.APIID {
	if len(c.grants) == 0 || len(p.was.of[c.after.ID]) > 0 {
		return auth.APIID{}
	}
	return c.grants[0].api.after.ID
}

// checkLostScopes refuses that an API loses a scope which a grant goes on holding.
func (p *planner) checkLostScopes() {
	holders := map[*plannedAPI][]string{}
	for _, g := range p.grants {
		if g.after == nil || g.api.declared == nil || g.before != g.after { // gone, untouched, or checked already
			continue
		}
		if !g.api.after.ScopeNames().Contains(g.after.Scopes) {
			holders[g.api] = append(holders[g.api], g.client.after.Name)
		}
	}
	for _, a := range p.declaredAPIs {
		if names := holders[a]; len(names) > 0 {
			slices.Sort(names)
			p.wrong.add(a.at.at("scopes"), "a scope that is left out is held by grants which the document leaves as they are: "+someOf(names))
		}
		if a.before != nil && len(a.wide()) > auth.MaxScopes {
			p.wrong.add(a.at.at("scopes"), "together with those that are left out there are more than 256; leave them out by a document of its own first")
		}
	}
}

const shownNames = 5

func someOf(names []string) string {
	text := strings.Join(names[:min(len(names), shownNames)], ", ")
	if more := len(names) - shownNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// wide returns the scopes that the API shall have, and those that it loses: it keeps them until nobody holds them any more.
func (a *plannedAPI) wide() []auth.ScopeDefinition {
	scopes, offered := slices.Clone(a.after.Scopes), a.after.ScopeNames()
	for _, scope := range a.before.Scopes {
		if !offered.Has(scope.Name) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}
