package api

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type unusedInput struct {
	Days int `query:"days" minimum:"1" maximum:"3650" default:"90" doc:"For how long."`
}

type graphInput struct {
	Client auth.ClientID `query:"client_id" doc:"Only the calls of this client."`
	API    auth.APIID    `query:"api_id" doc:"Only the calls to this API."`
}

type explainInput struct {
	Client string `query:"client" required:"true" maxLength:"200" doc:"Id or name of the client." example:"orders"`
	API    string `query:"api" maxLength:"500" doc:"Id or identifier of the API; absent: the client's default resource." example:"https://inventory.example"`
	Scope  string `query:"scope" maxLength:"4096" doc:"Scopes, separated by spaces; absent: whatever the grant holds." example:"inventory:read"`
}

// insights adds the operations that say what is used, and why a call is allowed.
func (s *service) insights() {
	add(s, operation{
		id: "listUnused", method: http.MethodGet, path: "/insights/unused", tag: tagInsights,
		scopes: needs(auth.ScopeGrantsRead, auth.ScopeClientsRead), summary: "List what nobody uses",
		about: "Clients, secrets, grants and single scopes that were not used for a number of days, and secrets that expire soon. What is younger than " +
			"that is left out.",
	}, s.listUnused)
	add(s, operation{
		id: "getGraph", method: http.MethodGet, path: "/graph", tag: tagInsights, scopes: needs(auth.ScopeGrantsRead), summary: "Show who may call whom, and who did",
		about: "Clients and APIs are nodes, grants are edges with when they were last used.",
	}, s.getGraph)
	add(s, operation{
		id: "explain", method: http.MethodGet, path: "/explain", tag: tagInsights, scopes: needs(auth.ScopeGrantsRead), summary: "Explain whether a call would be allowed",
		about: "By which grant, or everything that is in the way and how to mend it. An unknown client or API is an answer, not an error.",
	}, s.explain)
}

func (s *service) listUnused(ctx context.Context, in *unusedInput) (*answer[wire.Unused], error) {
	c := from(ctx)
	report, err := c.registry.Unused(ctx, c.actor, in.Days)
	if err != nil {
		return nil, err
	}
	out := wire.Unused{
		Days: report.Days, Truncated: report.Truncated,
		Clients: []wire.UnusedClient{}, Secrets: []wire.UnusedSecret{}, Grants: []wire.UnusedGrant{}, Expiring: []wire.ExpiringEntry{},
	}
	for _, u := range report.Clients {
		out.Clients = append(out.Clients, wire.UnusedClient{Client: u.Client.String(), Name: u.Name, LastUsed: optional(u.LastUsed)})
	}
	for _, u := range report.Secrets {
		out.Secrets = append(out.Secrets, wire.UnusedSecret{Secret: u.Secret.String(), Client: u.Client.String(), Hint: u.Hint, LastUsed: optional(u.LastUsed)})
	}
	for _, u := range report.Grants {
		out.Grants = append(out.Grants, wire.UnusedGrant{Client: u.Client.String(), API: u.API.String(), Scopes: u.Scopes, LastUsed: optional(u.LastUsed)})
	}
	for _, e := range report.Expiring {
		out.Expiring = append(out.Expiring, wire.ExpiringEntry{
			Secret: e.Secret.String(), Client: e.Client.String(), Name: e.Name, Expires: e.Expires.UTC(), Only: e.Only,
		})
	}
	return answered(out, nil)
}

func (s *service) getGraph(ctx context.Context, in *graphInput) (*answer[wire.Graph], error) {
	c := from(ctx)
	graph, err := c.registry.Graph(ctx, c.actor, registry.GraphFilter{Client: in.Client, API: in.API})
	if err != nil {
		return nil, err
	}
	out := wire.Graph{Clients: []wire.GraphClient{}, APIs: []wire.GraphAPI{}, Calls: []wire.GraphCall{}, Truncated: graph.Truncated}
	for _, n := range graph.Clients {
		out.Clients = append(out.Clients, wire.GraphClient{ID: n.ID.String(), Name: n.Name, Status: string(n.Status)})
	}
	for _, n := range graph.APIs {
		out.APIs = append(out.APIs, wire.GraphAPI{ID: n.ID.String(), Identifier: n.Identifier, Name: n.Name, Servers: textOf(n.Servers)})
	}
	for _, e := range graph.Calls {
		out.Calls = append(out.Calls, wire.GraphCall{
			Client: e.Client.String(), API: e.API.String(), Scopes: append([]string{}, e.Scopes...), LastUsed: optional(e.LastUsed), Tokens: e.Tokens,
		})
	}
	return answered(out, nil)
}

func (s *service) explain(ctx context.Context, in *explainInput) (*answer[wire.Explanation], error) {
	c := from(ctx)
	verdict, err := c.registry.Explain(ctx, c.actor, registry.Question{Client: in.Client, API: in.API, Scope: in.Scope})
	if err != nil {
		return nil, err
	}
	out := wire.Explanation{
		Allowed: verdict.Allowed, Client: textUnlessZero(verdict.Client), API: textUnlessZero(verdict.API), Scopes: verdict.Scopes,
		Reasons: append([]string{}, verdict.Reasons...),
	}
	if verdict.Grant != nil {
		grant := showGrant(verdict.Grant)
		out.Grant = &grant
	}
	return answered(out, nil)
}
