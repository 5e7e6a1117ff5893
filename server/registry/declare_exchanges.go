package registry

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// plannedExchange is a grant to exchange tokens that is there, or shall be.
type plannedExchange struct {
	client         *plannedClient
	source, target *plannedAPI
	before, after  *auth.ExchangeGrant
}

func (x *plannedExchange) name() string {
	name := func(before, after *auth.API) string { return cmp.Or(after, before).Identifier }
	return cmp.Or(x.client.after, x.client.before).Name + " → " + name(x.source.before, x.source.after) + " → " + name(x.target.before, x.target.after)
}

// goes reports whether it goes with its client or one of its APIs.
func (x *plannedExchange) goes() bool {
	return x.client.after == nil || x.source.after == nil || x.target.after == nil
}

// resolveExchanges does for grants to exchange tokens what resolveGrants does for grants.
func (p *planner) resolveExchanges() {
	for key, g := range p.was.exchanges {
		x := &plannedExchange{
			client: p.clients[p.was.byID[key.client].Name], source: p.apis[p.was.apiByID[key.source].Identifier],
			target: p.apis[p.was.apiByID[key.target].Identifier], before: g, after: g,
		}
		if x.goes() || p.prune && x.client.declared != nil {
			x.after = nil
		}
		p.exchanges[key] = x
	}
	for _, c := range p.declaredClients {
		seen := map[exchangeKey]bool{}
		for n := range c.declared.Exchanges {
			d, at := &c.declared.Exchanges[n], c.at.at("exchanges").index(n)
			source, target := p.api(at.at("source"), d.Source), p.api(at.at("target"), d.Target)
			if source == nil || target == nil {
				continue
			}
			key := exchangeKey{c.after.ID, source.after.ID, target.after.ID}
			if seen[key] {
				p.wrong.add(at, "the client has two grants to exchange these tokens")
				continue
			}
			seen[key] = true
			p.resolveExchange(at, key, &plannedExchange{client: c, source: source, target: target}, d)
		}
	}
}

func (p *planner) resolveExchange(at pointer, key exchangeKey, x *plannedExchange, d *DeclaredExchange) {
	want := &auth.ExchangeGrant{Client: key.client, Source: key.source, Target: key.target, Scopes: sortedScopes(d.Scopes), Created: p.now, Updated: p.now}
	if known := p.exchanges[key]; known != nil {
		x = known
		want.Revision, want.Created = x.before.Revision, x.before.Created
	}
	if wrong := fault.From(want.Validate(x.source.after, x.target.after)); wrong != nil {
		p.wrong.add(at.at(wrong.Field), wrong.Detail)
	}
	x.after = want
	p.exchanges[key] = x
	x.client.exchanges = append(x.client.exchanges, x)
}

func (p *planner) stepExchanges(c *plannedClient) {
	for _, x := range c.exchanges {
		s := Step{Verb: Add, Kind: KindExchange, Name: x.name(), Fields: differ(exchangeFields(x.before), exchangeFields(x.after))}
		if x.before != nil {
			s.Verb, s.Target, s.Revision = Modify, exchangeTarget(x.before), x.before.Revision
		}
		if len(s.Fields) > 0 {
			p.step(s, func(ctx context.Context, do *applying) error {
				want := *x.after
				_, err := do.putExchange(ctx, do.tx, do.actor, &want, Any)
				return err
			})
		}
	}
}

// stepExchangeRemovals leaves out what goes with its client or API.
func (p *planner) stepExchangeRemovals() {
	going := slices.DeleteFunc(slices.Collect(maps.Values(p.exchanges)), func(x *plannedExchange) bool { return x.after != nil || x.goes() })
	slices.SortFunc(going, func(x, y *plannedExchange) int { return cmp.Compare(x.name(), y.name()) })
	for _, x := range going {
		s := Step{
			Verb: Remove, Kind: KindExchange, Name: x.name(), Fields: differ(exchangeFields(x.before), nil),
			Target: exchangeTarget(x.before), Revision: x.before.Revision,
		}
		p.step(s, func(ctx context.Context, do *applying) error {
			ref := ExchangeRef{Client: x.before.Client, Source: x.before.Source, Target: x.before.Target}
			return do.removeExchange(ctx, do.tx, do.actor, ref, Hit{})
		})
	}
}

func exchangeFields(g *auth.ExchangeGrant) []FieldChange {
	if g == nil {
		return nil
	}
	scopes := make([]string, len(g.Scopes))
	for n, s := range g.Scopes {
		if scopes[n] = s.Scope; s.Needs != s.Scope {
			scopes[n] = s.Needs + "=" + s.Scope
		}
	}
	return []FieldChange{{Name: "scopes", After: strings.Join(scopes, " ")}}
}
