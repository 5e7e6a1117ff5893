package registry

import (
	"context"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

// DeleteAPI removes an API with its grants, and takes back all of its tokens. Built-in APIs cannot be deleted. It needs apis:write.
func (r *Registry) DeleteAPI(ctx context.Context, actor auth.Actor, id auth.APIID, m Match) (Hit, error) {
	if err := need(actor, auth.ScopeAPIsWrite); err != nil {
		return Hit{}, err
	}
	hit, err := r.count(ctx, func(t *auth.Token) bool { return t.API == id }, auth.ClientID{})
	if err != nil {
		return Hit{}, err
	}
	return update(ctx, r, func(tx auth.Tx) (Hit, error) {
		a, err := tx.APIs().API(ctx, id)
		if err != nil {
			return Hit{}, err
		}
		if err := editable(a, m); err != nil {
			return Hit{}, err
		}
		grants, err := tx.Grants().APIGrants(ctx, id)
		if err != nil {
			return Hit{}, err
		}
		if err := tx.APIs().DeleteAPI(ctx, id); err != nil {
			return Hit{}, err
		}
		changes := []auth.Change{apiChanged(id), {Kind: auth.RevokeAPI, Subject: id, Audience: a.Identifier}}
		for _, g := range grants {
			changes = append(changes, clientChanged(g.Client))
		}
		return hit, r.note(ctx, tx, record{actor, "api.delete", id.String(), apiView(a), hitView(hit)}, changes...)
	})
}

// SetServer says whether a client serves an API: whether it may introspect the API's tokens and read the revocation feed. It needs
// apis:write, and every scope of Countersign's own APIs that the client holds. No client can be made server of a built-in API.
func (r *Registry) SetServer(ctx context.Context, actor auth.Actor, id auth.APIID, client auth.ClientID, serves bool) (*auth.API, error) {
	if err := need(actor, auth.ScopeAPIsWrite); err != nil {
		return nil, err
	}
	changed, err := update(ctx, r, func(tx auth.Tx) (auth.API, error) {
		a, err := tx.APIs().API(ctx, id)
		if err != nil {
			return auth.API{}, err
		}
		if _, err := tx.Clients().Client(ctx, client); err != nil {
			return auth.API{}, err
		}
		if err := r.outranks(ctx, tx, actor, client, powers{}); err != nil {
			return auth.API{}, err
		}
		if err := editable(a, Any); err != nil || a.ServedBy(client) == serves {
			return *a, err
		}
		before, action := apiView(a), "api.server.add"
		if serves {
			a.Servers = append(slices.Clone(a.Servers), client)
		} else {
			a.Servers, action = slices.DeleteFunc(slices.Clone(a.Servers), func(c auth.ClientID) bool { return c == client }), "api.server.remove"
		}
		a.Updated = r.now()
		if err := tx.APIs().PutAPI(ctx, a); err != nil {
			return auth.API{}, err
		}
		return *a, r.note(ctx, tx, record{actor, action, id.String(), before, apiView(a)}, apiChanged(id))
	})
	if err != nil {
		return nil, err
	}
	return &changed, nil
}
