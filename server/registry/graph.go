package registry

import (
	"context"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Graph tells who may call whom, and who did.
type Graph struct {
	Clients   []GraphClient // that call or serve, in order of id
	APIs      []GraphAPI    // that are called, in order of id
	Calls     []GraphCall   // in order of client and API
	Truncated bool          // there are more than MaxGraph calls
}

// GraphClient is a node.
type GraphClient struct {
	ID     auth.ClientID
	Name   string
	Status auth.Status
}

// GraphAPI is a node.
type GraphAPI struct {
	ID         auth.APIID
	Identifier string
	Name       string
	Servers    []auth.ClientID
}

// GraphCall is an edge: a grant.
type GraphCall struct {
	Client   auth.ClientID
	API      auth.APIID
	Scopes   auth.Scopes
	LastUsed time.Time // zero: never
	Tokens   int64     // issued under it
}

// GraphFilter leaves out the calls of other clients, and to other APIs. What is zero leaves out nothing.
type GraphFilter struct {
	Client auth.ClientID
	API    auth.APIID
}

// MaxGraph bounds the calls of a Graph.
const MaxGraph = 5000

// Graph draws who may call whom. It needs grants:read.
func (r *Registry) Graph(ctx context.Context, actor auth.Actor, filter GraphFilter) (graph *Graph, err error) {
	if err := need(actor, auth.ScopeGrantsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		graph = new(Graph)
		if err := graph.calls(ctx, tx, filter); err != nil {
			return err
		}
		return graph.nodes(ctx, tx)
	})
	return graph, err
}

func (g *Graph) calls(ctx context.Context, tx auth.Tx, filter GraphFilter) error {
	grants, err := tx.Grants().ListGrants(ctx, auth.GrantQuery{Client: filter.Client, API: filter.API, Limit: MaxGraph + 1})
	if err != nil {
		return err
	}
	if len(grants) > MaxGraph {
		g.Truncated, grants = true, grants[:MaxGraph]
	}
	uses, err := grantUses(ctx, tx, filter.Client)
	if err != nil {
		return err
	}
	for _, grant := range grants {
		u := uses[granting{grant.Client, grant.API}]
		g.Calls = append(g.Calls, GraphCall{grant.Client, grant.API, grant.Scopes, u.last, u.tokens})
	}
	return nil
}

func (g *Graph) nodes(ctx context.Context, tx auth.Tx) error {
	clients, apis := map[auth.ClientID]bool{}, map[auth.APIID]bool{}
	for i := range g.Calls {
		clients[g.Calls[i].Client], apis[g.Calls[i].API] = true, true
	}
	err := tx.APIs().EachAPI(ctx, func(a *auth.API) error {
		if !apis[a.ID] {
			return nil
		}
		for _, id := range a.Servers {
			clients[id] = true
		}
		g.APIs = append(g.APIs, GraphAPI{a.ID, a.Identifier, a.Name, a.Servers})
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Clients().EachClient(ctx, func(c *auth.Client) error {
		if clients[c.ID] {
			g.Clients = append(g.Clients, GraphClient{c.ID, c.Name, c.Status})
		}
		return nil
	})
}
