package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

// plan lists the steps: what is added or changed comes before what refers to it, and what is removed goes after what referred to it.
func (p *planner) plan() (*Plan, error) {
	for _, a := range p.declaredAPIs {
		p.stepAPI(a)
	}
	for _, i := range p.declaredIssuers {
		p.stepIssuer(i)
	}
	for _, c := range p.declaredClients {
		p.stepClient(c)
	}
	for _, c := range p.declaredClients {
		p.stepGrants(c)
	}
	for _, c := range p.declaredClients {
		p.stepExchanges(c)
	}
	for _, a := range p.declaredAPIs {
		p.stepServers(a)
	}
	made := &Plan{was: p.was, touched: p.touched()}
	for _, c := range p.declaredClients {
		if s := c.secret; s != nil {
			made.secrets = append(made.secrets, s)
			p.step(Step{Verb: Add, Kind: KindSecret, Name: c.after.Name}, func(ctx context.Context, a *applying) error { return a.makeSecret(ctx, s) })
		}
	}
	p.stepRemovals()
	made.Steps, made.work, made.credentials = p.steps, p.work, p.credentials
	text, err := json.Marshal(made.Steps)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	sum := sha256.Sum256(text)
	made.Digest = base64.RawURLEncoding.EncodeToString(sum[:])
	return made, nil
}

// step takes down a step and what carries it out, which may be nil if the work of another step does.
func (p *planner) step(s Step, w work) {
	p.steps = append(p.steps, s)
	p.toDo(w)
}

func (p *planner) toDo(w work) {
	if w != nil {
		p.work = append(p.work, w)
	}
}

// stepAPI keeps a scope that is lost until nobody holds it any more: stepRemovals takes it away.
func (p *planner) stepAPI(a *plannedAPI) {
	s := Step{Verb: Add, Kind: KindAPI, Name: a.after.Identifier, Fields: differ(apiFields(a.before), apiFields(a.after))}
	if a.before == nil {
		p.step(s, func(ctx context.Context, do *applying) error { return do.makeAPI(ctx, a.after) })
		return
	}
	if len(s.Fields) == 0 {
		return
	}
	s.Verb, s.Target, s.Revision = Modify, a.before.ID.String(), a.before.Revision
	wide := *a.after
	wide.Scopes = a.wide()
	p.step(s, func(ctx context.Context, do *applying) error { return do.editAPI(ctx, &wide) })
}

func (p *planner) stepClient(c *plannedClient) {
	before := c.before
	if before == nil {
		before = &auth.Client{AuthMethod: auth.SecretBasic}
	}
	if !sameCredentials(before, c.after) {
		p.credentials = append(p.credentials, c.after.ID)
	}
	s := Step{Verb: Add, Kind: KindClient, Name: c.after.Name, Fields: differ(p.clientFields(c.before), p.clientFields(c.after))}
	if c.before == nil {
		p.step(s, func(ctx context.Context, do *applying) error { return do.makeClient(ctx, c.after) })
	} else if len(s.Fields) > 0 {
		s.Verb, s.Target, s.Revision = Modify, c.before.ID.String(), c.before.Revision
		p.step(s, func(ctx context.Context, do *applying) error { return do.editClient(ctx, c.after) })
	}
}

// stepServers adds those who serve the API from now on: first, before the others go.
func (p *planner) stepServers(a *plannedAPI) {
	var all []auth.ClientID
	if a.before != nil {
		all = slices.Clone(a.before.Servers)
	}
	added := false
	for _, id := range a.after.Servers {
		if !slices.Contains(all, id) {
			p.step(p.serverStep(Add, a, id), nil)
			all, added = append(all, id), true
		}
	}
	if added {
		p.toDo(func(ctx context.Context, do *applying) error { return do.setServers(ctx, a.after.ID, all) })
	}
}

func (p *planner) serverStep(v Verb, a *plannedAPI, client auth.ClientID) Step {
	s := Step{Verb: v, Kind: KindServer, Name: p.names[client] + " → " + a.after.Identifier}
	if a.before != nil {
		s.Target, s.Revision = a.before.ID.String(), a.before.Revision
	}
	return s
}

// stepGrants puts the grant that is to be the default resource first: the first one becomes it anyway.
func (p *planner) stepGrants(c *plannedClient) {
	isDefault := func(g *plannedGrant) int {
		if g.after.API == c.after.DefaultResource {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(c.grants, func(x, y *plannedGrant) int { return cmp.Compare(isDefault(x), isDefault(y)) })
	unsettled := c.before == nil || c.before.DefaultResource != c.after.DefaultResource
	for _, g := range c.grants {
		s := Step{Verb: Add, Kind: KindGrant, Name: grantName(g), Fields: differ(p.grantFields(g.before), p.grantFields(g.after))}
		if g.before != nil {
			s.Verb, s.Target, s.Revision = Modify, grantTarget(g.before.Client, g.before.API), g.before.Revision
		}
		unsettled = unsettled || g.before == nil // the first grant may have become the default
		if len(s.Fields) > 0 {
			p.step(s, func(ctx context.Context, do *applying) error { return do.setGrant(ctx, g.after) })
		}
	}
	if unsettled {
		p.toDo(func(ctx context.Context, do *applying) error { return do.setDefault(ctx, c.after) })
	}
}

func grantName(g *plannedGrant) string { return g.client.after.Name + " → " + g.api.after.Identifier }

// stepRemovals takes away: grants, servers, clients, trusted issuers, scopes of APIs, APIs.
func (p *planner) stepRemovals() {
	p.stepExchangeRemovals()
	p.stepGrantRemovals()
	p.stepServerRemovals()
	for _, name := range slices.Sorted(maps.Keys(p.clients)) {
		if c := p.clients[name]; c.after == nil {
			s := Step{Verb: Remove, Kind: KindClient, Name: name, Target: c.before.ID.String(), Revision: c.before.Revision}
			p.step(s, func(ctx context.Context, do *applying) error {
				return do.removeClient(ctx, do.tx, do.actor, c.before.ID, removal{})
			})
		}
	}
	p.stepIssuerRemovals()
	for _, a := range p.declaredAPIs {
		if a.before != nil && !a.after.ScopeNames().Contains(a.before.ScopeNames()) {
			p.toDo(func(ctx context.Context, do *applying) error { return do.editAPI(ctx, a.after) })
		}
	}
	for _, identifier := range slices.Sorted(maps.Keys(p.apis)) {
		if a := p.apis[identifier]; a.after == nil {
			s := Step{Verb: Remove, Kind: KindAPI, Name: identifier, Target: a.before.ID.String(), Revision: a.before.Revision}
			p.step(s, func(ctx context.Context, do *applying) error {
				return do.removeAPI(ctx, do.tx, do.actor, a.before.ID, removal{})
			})
		}
	}
}

// stepServerRemovals leaves out clients that go.
func (p *planner) stepServerRemovals() {
	for _, a := range p.declaredAPIs {
		if a.before == nil {
			continue
		}
		removed := slices.DeleteFunc(servesToo(a.before, a.after), func(id auth.ClientID) bool { return p.clients[p.names[id]].after == nil })
		slices.SortFunc(removed, func(x, y auth.ClientID) int { return cmp.Compare(p.names[x], p.names[y]) })
		for _, id := range removed {
			p.step(p.serverStep(Remove, a, id), nil)
		}
		if len(removed) > 0 {
			p.toDo(func(ctx context.Context, do *applying) error { return do.setServers(ctx, a.after.ID, a.after.Servers) })
		}
	}
}

// stepGrantRemovals leaves out what goes with its client or API.
func (p *planner) stepGrantRemovals() {
	var going []*plannedGrant
	for _, g := range p.grants {
		if g.after == nil && g.client.after != nil && g.api.after != nil {
			going = append(going, g)
		}
	}
	slices.SortFunc(going, func(x, y *plannedGrant) int { return cmp.Compare(grantName(x), grantName(y)) })
	for _, g := range going {
		s := Step{
			Verb: Remove, Kind: KindGrant, Name: grantName(g), Fields: differ(p.grantFields(g.before), nil),
			Target: grantTarget(g.before.Client, g.before.API), Revision: g.before.Revision,
		}
		p.step(s, func(ctx context.Context, do *applying) error {
			return do.removeGrant(ctx, do.tx, do.actor, GrantRef{Client: g.before.Client, API: g.before.API}, Hit{})
		})
	}
}

// touched returns the ids of what the plan was judged by: if one of them is changed by others, it is judged anew.
func (p *planner) touched() map[[16]byte]bool {
	ids := map[[16]byte]bool{}
	for _, a := range p.apis {
		if a.before != nil && (a.declared != nil || a.after == nil || a.before.BuiltIn()) {
			ids[a.before.ID] = true
		}
	}
	for _, c := range p.clients {
		if c.before != nil && (c.declared != nil || c.after == nil) {
			ids[c.before.ID] = true
		}
	}
	for _, g := range p.grants {
		if g.before != nil && g.after != g.before {
			ids[g.before.Client], ids[g.before.API] = true, true
		}
		if g.after != nil && g.after != g.before {
			ids[g.after.Client], ids[g.after.API] = true, true
		}
	}
	for _, a := range p.declaredAPIs {
		for _, id := range a.after.Servers {
			ids[id] = true
		}
	}
	p.touchedStrong(ids)
	return ids
}

// touchedStrong adds what grants to exchange tokens and trusted issuers touch.
func (p *planner) touchedStrong(ids map[[16]byte]bool) {
	for key, x := range p.exchanges {
		if x.before != x.after {
			ids[key.client], ids[key.source], ids[key.target] = true, true, true
		}
	}
	for _, i := range p.issuers {
		if i.before != nil && (i.declared != nil || i.after == nil) {
			ids[i.before.ID] = true
		}
	}
	for _, c := range p.declaredClients {
		for _, rule := range c.after.Proofs.Federation {
			ids[rule.Issuer] = true
		}
	}
}
