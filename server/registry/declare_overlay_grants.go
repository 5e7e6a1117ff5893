package registry

import (
	"context"

	"github.com/countersign/countersign/server/auth"
)

type overlayGrants struct {
	auth.Grants
	o *overlay
}

func (t overlayGrants) Grant(ctx context.Context, client auth.ClientID, api auth.APIID) (*auth.Grant, error) {
	if t.o.others[client] || t.o.others[api] {
		return t.Grants.Grant(ctx, client, api)
	}
	g := t.o.grants[grantKey{client, api}]
	if g == nil || t.o.byID[client] == nil || t.o.apiByID[api] == nil { // it goes with either
		return nil, gone()
	}
	found := *g
	return &found, nil
}

func (t overlayGrants) ClientGrants(ctx context.Context, id auth.ClientID) (found []*auth.Grant, err error) {
	if t.o.others[id] {
		return t.Grants.ClientGrants(ctx, id)
	}
	for _, api := range t.o.of[id] {
		if g, err := t.Grant(ctx, id, api); err == nil {
			found = append(found, g)
		}
	}
	return found, nil
}

func (t overlayGrants) APIGrants(ctx context.Context, id auth.APIID) ([]*auth.Grant, error) {
	if err := t.o.settle(ctx); err != nil {
		return nil, err
	}
	return t.Grants.APIGrants(ctx, id)
}

func (t overlayGrants) ListGrants(ctx context.Context, q auth.GrantQuery) ([]*auth.Grant, error) {
	if err := t.o.settle(ctx); err != nil {
		return nil, err
	}
	return t.Grants.ListGrants(ctx, q)
}

func (t overlayGrants) EachGrant(ctx context.Context, each func(*auth.Grant) error) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	return t.Grants.EachGrant(ctx, each)
}

func (t overlayGrants) PutGrant(ctx context.Context, grants ...*auth.Grant) error {
	for _, g := range grants {
		key := grantKey{g.Client, g.API}
		if g.Revision == 0 {
			g.Revision = 1
			t.o.newGrants = append(t.o.newGrants, key)
			t.o.of[g.Client] = append(t.o.of[g.Client], g.API)
		} else {
			if err := t.o.settle(ctx); err != nil {
				return err
			}
			if err := t.Grants.PutGrant(ctx, g); err != nil {
				return err
			}
		}
		stored := *g
		t.o.grants[key] = &stored
	}
	return nil
}

func (t overlayGrants) DeleteGrant(ctx context.Context, client auth.ClientID, api auth.APIID) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	if err := t.Grants.DeleteGrant(ctx, client, api); err != nil {
		return err
	}
	delete(t.o.grants, grantKey{client, api})
	return nil
}

type overlayExchanges struct {
	auth.Exchanges
	o *overlay
}

func (t overlayExchanges) PutExchange(ctx context.Context, g *auth.ExchangeGrant) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	return t.Exchanges.PutExchange(ctx, g)
}
