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
		return hit, r.removeAPI(ctx, tx, actor, id, removal{m, hit})
	})
}

func (r *Registry) removeAPI(ctx context.Context, tx auth.Tx, actor auth.Actor, id auth.APIID, w removal) error {
	a, err := tx.APIs().API(ctx, id)
	if err != nil {
		return err
	}
	if err := editable(a, w.match); err != nil {
		return err
	}
	grants, err := tx.Grants().APIGrants(ctx, id)
	if err != nil {
		return err
	}
	exchanges, err := listExchanges(ctx, tx, ExchangeQuery{API: id})
	if err != nil {
		return err
	}
	if err := tx.APIs().DeleteAPI(ctx, id); err != nil {
		return err
	}
	changes := []auth.Change{apiChanged(id), {Kind: auth.RevokeAPI, Subject: id, Audience: a.Identifier}}
	for _, g := range grants {
		changes = append(changes, clientChanged(g.Client))
	}
	for _, g := range exchanges {
		changes = append(changes, clientChanged(g.Client))
	}
	return r.note(ctx, tx, record{actor, "api.delete", id.String(), apiView(a), hitView(w.hit)}, changes...)
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
		servers := slices.DeleteFunc(slices.Clone(a.Servers), func(c auth.ClientID) bool { return c == client })
		if serves {
			servers = append(servers, client)
		}
		if err := r.outranks(ctx, tx, actor, client, powers{}); err != nil {
			return auth.API{}, err
		}
		err = r.serve(ctx, tx, actor, a, servers)
		return *a, err
	})
	if err != nil {
		return nil, err
	}
	return &changed, nil
}

// serve sets which clients serve an API, in place. Some are added or some removed, not both.
func (r *Registry) serve(ctx context.Context, tx auth.Tx, actor auth.Actor, a *auth.API, servers []auth.ClientID) error {
	if err := editable(a, Any); err != nil {
		return err
	}
	was := *a
	a.Servers, a.Updated = servers, r.now()
	added, removed := servesToo(a, &was), servesToo(&was, a)
	if len(added)+len(removed) == 0 {
		*a = was
		return nil
	}
	for _, id := range slices.Concat(added, removed) {
		if err := r.outranks(ctx, tx, actor, id, powers{}); err != nil {
			return err
		}
	}
	if err := tx.APIs().PutAPI(ctx, a); err != nil {
		return err
	}
	action := "api.server.add"
	if len(added) == 0 {
		action = "api.server.remove"
	}
	return r.note(ctx, tx, record{actor, action, a.ID.String(), apiView(&was), apiView(a)}, apiChanged(a.ID))
}

// servesToo returns who serves the one API and not the other.
func servesToo(one, other *auth.API) []auth.ClientID {
	return slices.DeleteFunc(slices.Clone(one.Servers), other.ServedBy)
}
