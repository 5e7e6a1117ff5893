package api

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type grantInput struct {
	Client auth.ClientID `path:"client_id"`
	API    auth.APIID    `path:"api_id"`
}

type grantsInput struct {
	Paging

	Client auth.ClientID `query:"client_id" doc:"Only those of this client."`
	API    auth.APIID    `query:"api_id" doc:"Only those on this API."`
}

type grantPut struct {
	Client auth.ClientID `path:"client_id"`
	API    auth.APIID    `path:"api_id"`
	Body   wire.GrantBody
}

// grants adds the operations on grants.
func (s *service) grants() {
	const each = "/clients/{client_id}/grants/{api_id}"
	add(s, operation{
		id: "listGrants", method: http.MethodGet, path: "/grants", tag: tagGrants, scopes: needs(auth.ScopeGrantsRead), summary: "List grants",
		about: "In order of client and API. Filters can be combined.",
	}, s.listGrants)
	add(s, operation{
		id: "getGrant", method: http.MethodGet, path: each, tag: tagGrants, scopes: needs(auth.ScopeGrantsRead), summary: "Read a grant",
		about: "With when it was last used, and how often.", faults: codes{fault.NotFound},
	}, s.getGrant)
	add(s, operation{
		id: "putGrant", method: http.MethodPut, path: each, tag: tagGrants, scopes: needs(auth.ScopeGrantsWrite), summary: "Grant an API to a client",
		about: "With exactly these scopes. Where it loses some, the client's tokens for the API are taken back. The first grant of a client sets its " +
			"default resource. The answer tells nothing of its use: reading it does.",
		body: true, put: true, matches: matchReplaced, faults: codes{fault.NotFound, fault.Conflict},
	}, s.putGrant)
	add(s, operation{
		id: "deleteGrant", method: http.MethodDelete, path: each, tag: tagGrants, scopes: needs(auth.ScopeGrantsWrite),
		summary: "Take an API away from a client", about: "The client's tokens for the API are taken back.",
		matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.deleteGrant)
}

func (s *service) listGrants(ctx context.Context, in *grantsInput) (*page[wire.Grant], error) {
	c := from(ctx)
	after, err := in.place(c)
	if err != nil {
		return nil, err
	}
	found, err := c.registry.ListGrants(ctx, c.actor, auth.GrantQuery{Client: in.Client, API: in.API, After: after, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return listed(c, in.Paging, found, showGrant, func(g *registry.GrantDetail) cursor {
		return cursor{ID: g.Client[:], Second: g.API[:]}
	}), nil
}

func (s *service) getGrant(ctx context.Context, in *grantInput) (*single[wire.Grant], error) {
	c := from(ctx)
	found, err := c.registry.Grant(ctx, c.actor, in.Client, in.API)
	if err != nil {
		return nil, err
	}
	return oneGrant(found, http.StatusOK), nil
}

func (s *service) putGrant(ctx context.Context, in *grantPut) (*single[wire.Grant], error) {
	c := from(ctx)
	g := auth.Grant{Client: in.Client, API: in.API, Scopes: in.Body.Scopes}
	if in.Body.MayAct != "" {
		id, err := auth.ParseClientID(in.Body.MayAct)
		if err != nil {
			return nil, fault.New(fault.InvalidRequest, fault.From(err).Detail).At("may_act")
		}
		g.MayAct = id
	}
	stored, created, err := c.registry.PutGrant(ctx, c.actor, g, c.match)
	if err != nil {
		return nil, err
	}
	return oneGrant(&registry.GrantDetail{Grant: *stored}, statusOf(created)), nil
}

func (s *service) deleteGrant(ctx context.Context, in *grantInput) (*answer[wire.Hit], error) {
	c := from(ctx)
	hit, err := c.registry.DeleteGrant(ctx, c.actor, registry.GrantRef{Client: in.Client, API: in.API, Match: c.match})
	return answered(hitOf(hit), err)
}
