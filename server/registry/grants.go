package registry

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// GrantDetail is a grant and what was issued under it.
type GrantDetail struct {
	auth.Grant
	LastUsed time.Time // zero: never
	Tokens   int64
}

// GrantRef names a grant, in the state in which it must be.
type GrantRef struct {
	Client auth.ClientID
	API    auth.APIID
	Match  Match
}

// PutGrant gives g.Client exactly g.Scopes of g.API, to be exchanged as g.MayAct says, if m allows. The first grant of a client sets its default resource. Scopes that
// the client had and loses take back its tokens for the API. It needs grants:write; for one of Countersign's own APIs also
// every scope of those that the client holds or would gain; fault.Conflict if nobody would be left who can administer everything.
func (r *Registry) PutGrant(ctx context.Context, actor auth.Actor, g auth.Grant, m Match) (stored *auth.Grant, created bool, err error) {
	if err := need(actor, auth.ScopeGrantsWrite); err != nil {
		return nil, false, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (put[auth.Grant], error) {
		c, a, err := parties(ctx, tx, g.Client, g.API)
		if err != nil {
			return put[auth.Grant]{}, err
		}
		want := g
		want.Scopes = auth.NewScopes(g.Scopes...)
		if err := r.mayGrant(ctx, tx, actor, a, &want); err != nil {
			return put[auth.Grant]{}, err
		}
		var answer put[auth.Grant]
		err = r.keeping(ctx, tx, actor, func() (err error) {
			answer, err = r.grant(ctx, tx, actor, entitling{c, a, want.Scopes, want.MayAct, m})
			return err
		})
		return answer, err
	})
	if err != nil {
		return nil, false, err
	}
	return &done.Stored, done.Created, nil
}

func parties(ctx context.Context, tx auth.Tx, client auth.ClientID, api auth.APIID) (*auth.Client, *auth.API, error) {
	c, err := tx.Clients().Client(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	a, err := tx.APIs().API(ctx, api)
	return c, a, err
}

// mayGrant returns fault.Forbidden if the actor must not put or, with no scopes, delete the grant.
func (r *Registry) mayGrant(ctx context.Context, tx auth.Tx, actor auth.Actor, a *auth.API, g *auth.Grant) error {
	switch a.Identifier {
	case auth.AdminAPI:
		return r.outranks(ctx, tx, actor, g.Client, powers{admin: g.Scopes})
	case auth.ServerAPI:
		return r.outranks(ctx, tx, actor, g.Client, powers{server: g.Scopes})
	}
	return nil
}

// entitling is a grant that is about to be put.
type entitling struct {
	client *auth.Client
	api    *auth.API
	scopes auth.Scopes
	mayAct auth.ClientID
	match  Match
}

func (r *Registry) grant(ctx context.Context, tx auth.Tx, actor auth.Actor, w entitling) (put[auth.Grant], error) {
	now := r.now()
	g, err := tx.Grants().Grant(ctx, w.client.ID, w.api.ID)
	var before any
	narrowed, created := false, errors.Is(err, fault.NotFound)
	switch {
	case created:
		g = &auth.Grant{Client: w.client.ID, API: w.api.ID, Created: now}
	case err != nil:
		return put[auth.Grant]{}, err
	default:
		before, narrowed = grantView(g), !w.scopes.Contains(g.Scopes)
	}
	if err := w.match.check(g.Revision); err != nil {
		return put[auth.Grant]{}, err
	}
	if !created && slices.Equal(g.Scopes, w.scopes) && g.MayAct == w.mayAct {
		return put[auth.Grant]{*g, false}, nil
	}
	if err := mayAct(ctx, tx, w.mayAct); err != nil {
		return put[auth.Grant]{}, err
	}
	g.Scopes, g.MayAct, g.Updated = w.scopes, w.mayAct, now
	if err := g.Validate(w.api); err != nil {
		return put[auth.Grant]{}, err
	}
	if err := r.defaultTo(ctx, tx, w); err != nil {
		return put[auth.Grant]{}, err
	}
	if err := tx.Grants().PutGrant(ctx, g); err != nil {
		return put[auth.Grant]{}, err
	}
	changes := []auth.Change{clientChanged(g.Client)}
	if narrowed {
		changes = append(changes, grantRevoked(g, w.api))
	}
	return put[auth.Grant]{*g, created}, r.note(ctx, tx, record{actor, "grant.put", grantTarget(g.Client, g.API), before, grantView(g)}, changes...)
}

// mayAct returns fault.InvalidRequest unless the client that alone may exchange tokens exists, or is none.
func mayAct(ctx context.Context, tx auth.Tx, client auth.ClientID) error {
	if client == (auth.ClientID{}) {
		return nil
	}
	_, err := tx.Clients().Client(ctx, client)
	if errors.Is(err, fault.NotFound) {
		return fault.New(fault.InvalidRequest, "there is no such client").At("may_act")
	}
	return err
}

func grantRevoked(g *auth.Grant, a *auth.API) auth.Change {
	return auth.Change{Kind: auth.RevokeGrant, Subject: g.Client, Object: g.API, Audience: a.Identifier}
}

// defaultTo sets the default resource of a client that has no grant yet.
func (r *Registry) defaultTo(ctx context.Context, tx auth.Tx, w entitling) error {
	if w.client.DefaultResource != (auth.APIID{}) {
		return nil
	}
	held, err := tx.Grants().ClientGrants(ctx, w.client.ID)
	if err != nil || len(held) > 0 {
		return err
	}
	w.client.DefaultResource, w.client.Updated = w.api.ID, r.now()
	return tx.Clients().PutClient(ctx, w.client)
}

// DeleteGrant takes an API away from a client, and its tokens for the API with it; if the API was its default resource, it has none
// afterwards. It needs what PutGrant needs.
func (r *Registry) DeleteGrant(ctx context.Context, actor auth.Actor, ref GrantRef) (Hit, error) {
	if err := need(actor, auth.ScopeGrantsWrite); err != nil {
		return Hit{}, err
	}
	hit, err := r.count(ctx, func(t *auth.Token) bool { return t.API == ref.API }, ref.Client)
	if err != nil {
		return Hit{}, err
	}
	return update(ctx, r, func(tx auth.Tx) (Hit, error) {
		return hit, r.keeping(ctx, tx, actor, func() error { return r.removeGrant(ctx, tx, actor, ref, hit) })
	})
}

func (r *Registry) removeGrant(ctx context.Context, tx auth.Tx, actor auth.Actor, ref GrantRef, hit Hit) error {
	c, a, err := parties(ctx, tx, ref.Client, ref.API)
	if err != nil {
		return err
	}
	if err := r.mayGrant(ctx, tx, actor, a, &auth.Grant{Client: ref.Client}); err != nil {
		return err
	}
	g, err := tx.Grants().Grant(ctx, ref.Client, ref.API)
	if err != nil {
		return err
	}
	if err := ref.Match.check(g.Revision); err != nil {
		return err
	}
	if c.DefaultResource == a.ID {
		c.DefaultResource, c.Updated = auth.APIID{}, r.now()
		if err := tx.Clients().PutClient(ctx, c); err != nil {
			return err
		}
	}
	if err := tx.Grants().DeleteGrant(ctx, ref.Client, ref.API); err != nil {
		return err
	}
	return r.note(ctx, tx, record{actor, "grant.delete", grantTarget(ref.Client, ref.API), grantView(g), hitView(hit)},
		clientChanged(ref.Client), grantRevoked(g, a))
}

// Grant returns a grant, or fault.NotFound. It needs grants:read.
func (r *Registry) Grant(ctx context.Context, actor auth.Actor, client auth.ClientID, api auth.APIID) (found *GrantDetail, err error) {
	if err := need(actor, auth.ScopeGrantsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		g, err := tx.Grants().Grant(ctx, client, api)
		if err != nil {
			return err
		}
		details, err := grantDetails(ctx, tx, []*auth.Grant{g})
		if err == nil {
			found = details[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ListGrants returns a page of the grants that q selects. It needs grants:read.
func (r *Registry) ListGrants(ctx context.Context, actor auth.Actor, q auth.GrantQuery) (page []*GrantDetail, err error) {
	if err := need(actor, auth.ScopeGrantsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		grants, err := tx.Grants().ListGrants(ctx, q)
		if err == nil {
			page, err = grantDetails(ctx, tx, grants)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// grantDetails looks up the use of grants, client by client.
func grantDetails(ctx context.Context, tx auth.Tx, grants []*auth.Grant) ([]*GrantDetail, error) {
	details := make([]*GrantDetail, len(grants))
	uses := map[auth.ClientID]map[granting]grantUse{}
	for i, g := range grants {
		if uses[g.Client] == nil {
			used, err := grantUses(ctx, tx, g.Client)
			if err != nil {
				return nil, err
			}
			uses[g.Client] = used
		}
		use := uses[g.Client][granting{g.Client, g.API}]
		details[i] = &GrantDetail{*g, use.last, use.tokens}
	}
	return details, nil
}
