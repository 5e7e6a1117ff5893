package api

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

type apiInput struct {
	API auth.APIID `path:"api_id"`
}

type apisInput struct {
	Paging

	Identifier string        `query:"identifier" maxLength:"500" doc:"Only the one with this identifier." example:"https://inventory.example"`
	NamePrefix string        `query:"name_prefix" maxLength:"200" doc:"Only those whose name begins with this."`
	Server     auth.ClientID `query:"server" doc:"Only those that this client serves: its id."`
	Sort       string        `query:"sort" enum:"created,-created,name,-name" default:"created" doc:"The order; a minus turns it round."`
}

type apiBody struct {
	Body wire.APIBody
}

type apiPut struct {
	API  auth.APIID `path:"api_id"`
	Body wire.APIBody
}

type apiPatch struct {
	API  auth.APIID `path:"api_id"`
	Body wire.APIPatch
}

type serverInput struct {
	API    auth.APIID    `path:"api_id"`
	Client auth.ClientID `path:"client_id"`
}

// apis adds the operations on APIs.
func (s *service) apis() {
	const each, server = "/apis/{api_id}", "/apis/{api_id}/servers/{client_id}"
	add(s, operation{
		id: "listAPIs", method: http.MethodGet, path: "/apis", tag: tagAPIs, scopes: needs(auth.ScopeAPIsRead), summary: "List APIs",
		about: "Countersign's own are among them: they can be granted, but not changed.",
	}, s.listAPIs)
	add(s, operation{
		id: "createAPI", method: http.MethodPost, path: "/apis", tag: tagAPIs, scopes: needs(auth.ScopeAPIsWrite), summary: "Create an API",
		about: "Its identifier is what tokens name as their audience. It cannot be changed later.", status: http.StatusCreated, body: true,
	}, s.createAPI)
	add(s, operation{
		id: "getAPI", method: http.MethodGet, path: each, tag: tagAPIs, scopes: needs(auth.ScopeAPIsRead), summary: "Read an API",
		about: "The `ETag` of the answer is what a change of it needs.", faults: codes{fault.NotFound},
	}, s.getAPI)
	add(s, operation{
		id: "putAPI", method: http.MethodPut, path: each, tag: tagAPIs, scopes: needs(auth.ScopeAPIsWrite), summary: "Create or replace an API",
		about: "Creates under an id of your choice, with `If-None-Match: *`, or replaces everything but its servers.",
		body:  true, put: true, matches: matchReplaced, faults: codes{fault.NotFound, fault.Conflict},
	}, s.putAPI)
	add(s, operation{
		id: "patchAPI", method: http.MethodPatch, path: each, tag: tagAPIs, scopes: needs(auth.ScopeAPIsWrite), summary: "Change an API",
		about: "Format, lifetime and algorithm are for tokens to come. `scopes` is the whole list; one that a grant holds cannot be left out.",
		body:  true, sent: map[string]any{"token_lifetime_seconds": 900, "token_format": "opaque"},
		matches: matchChange, faults: codes{fault.NotFound, fault.Conflict},
	}, s.patchAPI)
	add(s, operation{
		id: "deleteAPI", method: http.MethodDelete, path: each, tag: tagAPIs, scopes: needs(auth.ScopeAPIsWrite), summary: "Delete an API",
		about: "Its grants go with it, and all of its tokens are taken back.", matches: matchChange, faults: codes{fault.NotFound},
	}, s.deleteAPI)
	add(s, operation{
		id: "putServer", method: http.MethodPut, path: server, tag: tagAPIs, scopes: needs(auth.ScopeAPIsWrite), summary: "Let a client serve an API",
		about: "It may then introspect the API's tokens and read the revocation feed.", faults: codes{fault.NotFound},
	}, s.putServer)
	add(s, operation{
		id: "deleteServer", method: http.MethodDelete, path: server, tag: tagAPIs, scopes: needs(auth.ScopeAPIsWrite),
		summary: "Let a client serve an API no more", about: "It may do neither any more.", faults: codes{fault.NotFound},
	}, s.deleteServer)
}

func (s *service) listAPIs(ctx context.Context, in *apisInput) (*page[wire.API], error) {
	c := from(ctx)
	after, err := in.place(c)
	if err != nil {
		return nil, err
	}
	found, err := c.registry.ListAPIs(ctx, c.actor, auth.APIQuery{
		Identifier: in.Identifier, NamePrefix: in.NamePrefix, Server: in.Server, Order: order(in.Sort), Descending: descending(in.Sort),
		After: after, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	return listed(c, in.Paging, found, showAPI, func(a *auth.API) cursor {
		at := cursor{ID: a.ID[:]}
		if order(in.Sort) == auth.ByName {
			at.Key = a.Name
		}
		return at
	}), nil
}

func (s *service) createAPI(ctx context.Context, in *apiBody) (*single[wire.API], error) {
	c := from(ctx)
	made, err := c.registry.CreateAPI(ctx, c.actor, apiOf(&in.Body))
	return oneAPI(made, http.StatusCreated, err)
}

func (s *service) getAPI(ctx context.Context, in *apiInput) (*single[wire.API], error) {
	c := from(ctx)
	found, err := c.registry.API(ctx, c.actor, in.API)
	return oneAPI(found, http.StatusOK, err)
}

func (s *service) putAPI(ctx context.Context, in *apiPut) (*single[wire.API], error) {
	c, api := from(ctx), apiOf(&in.Body)
	api.ID = in.API
	stored, created, err := c.registry.PutAPI(ctx, c.actor, api, c.match)
	return oneAPI(stored, statusOf(created), err)
}

func (s *service) patchAPI(ctx context.Context, in *apiPatch) (*single[wire.API], error) {
	c := from(ctx)
	changed, err := c.registry.UpdateAPI(ctx, c.actor, in.API, c.match, func(stored *auth.API) error {
		body, err := merged(bodyOfAPI(stored), c.body)
		if err != nil {
			return err
		}
		after := apiOf(&body)
		stored.Name, stored.Scopes, stored.Format, stored.Lifetime = after.Name, after.Scopes, after.Format, after.Lifetime
		stored.Algorithm, stored.Constraint = after.Algorithm, after.Constraint
		return nil
	})
	return oneAPI(changed, http.StatusOK, err)
}

func (s *service) deleteAPI(ctx context.Context, in *apiInput) (*answer[wire.Hit], error) {
	c := from(ctx)
	hit, err := c.registry.DeleteAPI(ctx, c.actor, in.API, c.match)
	return answered(hitOf(hit), err)
}

func (s *service) putServer(ctx context.Context, in *serverInput) (*single[wire.API], error) {
	c := from(ctx)
	changed, err := c.registry.SetServer(ctx, c.actor, in.API, in.Client, true)
	return oneAPI(changed, http.StatusOK, err)
}

func (s *service) deleteServer(ctx context.Context, in *serverInput) (*single[wire.API], error) {
	c := from(ctx)
	changed, err := c.registry.SetServer(ctx, c.actor, in.API, in.Client, false)
	return oneAPI(changed, http.StatusOK, err)
}
