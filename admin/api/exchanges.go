package api

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type exchangeInput struct {
	Client auth.ClientID `path:"client_id"`
	Source auth.APIID    `path:"source_api"`
	Target auth.APIID    `path:"target_api"`
}

type exchangesInput struct {
	Paging

	Client auth.ClientID `query:"client_id" doc:"Only those of this client."`
	Source auth.APIID    `query:"source_api" doc:"Only those of tokens for this API."`
	Target auth.APIID    `query:"target_api" doc:"Only those for tokens for this API."`
}

type exchangePut struct {
	Client auth.ClientID `path:"client_id"`
	Source auth.APIID    `path:"source_api"`
	Target auth.APIID    `path:"target_api"`
	Body   wire.ExchangeBody
}

// exchanges adds the operations on grants to exchange tokens.
func (s *service) exchanges() {
	const each = "/clients/{client_id}/exchanges/{source_api}/{target_api}"
	read, write := needs(auth.ScopeGrantsRead), needs(auth.ScopeGrantsWrite)
	add(s, operation{
		id: "listExchanges", method: http.MethodGet, path: "/exchanges", tag: tagExchanges, scopes: read, summary: "List grants to exchange tokens",
		about: "In order of client, source and target. Filters can be combined.",
	}, s.listExchanges)
	add(s, operation{
		id: "getExchange", method: http.MethodGet, path: each, tag: tagExchanges, scopes: read, summary: "Read a grant to exchange tokens",
		about: "The `ETag` of the answer is what a change of it needs.", faults: codes{fault.NotFound},
	}, s.getExchange)
	add(s, operation{
		id: "putExchange", method: http.MethodPut, path: each, tag: tagExchanges, scopes: write, summary: "Let a client exchange tokens",
		about: "Of those that it is called with, which are for the source, it gets tokens for the target: with the scopes of this list whose `needs` the exchanged " +
			"token has. Where the list loses some, the client's tokens for the target are taken back.",
		body: true, put: true, matches: matchReplaced, faults: codes{fault.NotFound},
	}, s.putExchange)
	add(s, operation{
		id: "deleteExchange", method: http.MethodDelete, path: each, tag: tagExchanges, scopes: write, summary: "Let a client exchange tokens no longer",
		about: "The client's tokens for the target are taken back.", matches: matchChange, faults: codes{fault.NotFound},
	}, s.deleteExchange)
}

func (s *service) listExchanges(ctx context.Context, in *exchangesInput) (*page[wire.Exchange], error) {
	c := from(ctx)
	at, err := in.parse(c)
	if err != nil {
		return nil, err
	}
	q := registry.ExchangeQuery{Client: in.Client, Source: in.Source, Target: in.Target, Limit: in.Limit + 1}
	if at != nil {
		q.After = new(registry.ExchangeRef)
		if copy(q.After.Client[:], at.ID) != len(at.ID) || copy(q.After.Source[:], at.Second) != len(at.Second) || copy(q.After.Target[:], at.Third) != len(at.Third) {
			return nil, fault.New(fault.InvalidRequest, "is not one of this list; begin anew without it").At("cursor")
		}
	}
	found, err := c.registry.ListExchanges(ctx, c.actor, q)
	if err != nil {
		return nil, err
	}
	return listed(c, in.Paging, found, showExchange, func(g *auth.ExchangeGrant) cursor {
		return cursor{ID: g.Client[:], Second: g.Source[:], Third: g.Target[:]}
	}), nil
}

func (s *service) getExchange(ctx context.Context, in *exchangeInput) (*single[wire.Exchange], error) {
	c := from(ctx)
	found, err := c.registry.Exchange(ctx, c.actor, registry.ExchangeRef{Client: in.Client, Source: in.Source, Target: in.Target})
	return oneExchange(found, http.StatusOK, err)
}

func (s *service) putExchange(ctx context.Context, in *exchangePut) (*single[wire.Exchange], error) {
	c := from(ctx)
	g := auth.ExchangeGrant{Client: in.Client, Source: in.Source, Target: in.Target, Scopes: exchangeScopes(in.Body.Scopes)}
	stored, created, err := c.registry.PutExchange(ctx, c.actor, g, c.match)
	return oneExchange(stored, statusOf(created), err)
}

func (s *service) deleteExchange(ctx context.Context, in *exchangeInput) (*answer[wire.Hit], error) {
	c := from(ctx)
	hit, err := c.registry.DeleteExchange(ctx, c.actor, registry.ExchangeRef{Client: in.Client, Source: in.Source, Target: in.Target, Match: c.match})
	return answered(hitOf(hit), err)
}

func exchangeScopes(list []wire.ExchangeScope) (scopes []auth.ExchangeScope) {
	for _, s := range list {
		if s.Needs == "" {
			s.Needs = s.Scope
		}
		scopes = append(scopes, auth.ExchangeScope(s))
	}
	return scopes
}

func showExchange(g *auth.ExchangeGrant) wire.Exchange {
	shown := wire.Exchange{
		Client: g.Client.String(), Source: g.Source.String(), Target: g.Target.String(), Scopes: []wire.ExchangeScope{},
		Created: g.Created.UTC(), Updated: g.Updated.UTC(),
	}
	for _, s := range g.Scopes {
		shown.Scopes = append(shown.Scopes, wire.ExchangeScope(s))
	}
	return shown
}

func oneExchange(g *auth.ExchangeGrant, status int, err error) (*single[wire.Exchange], error) {
	if err != nil {
		return nil, err
	}
	shown := showExchange(g)
	return one(shown, g.Revision, status, "clients", shown.Client, "exchanges", shown.Source, shown.Target), nil
}
