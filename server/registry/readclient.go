package registry

import (
	"context"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// ClientDetail is a client and when it last authenticated; zero: never.
type ClientDetail struct {
	auth.Client
	LastUsed time.Time
}

// Client returns a client, or fault.NotFound. It needs clients:read.
func (r *Registry) Client(ctx context.Context, actor auth.Actor, id auth.ClientID) (*ClientDetail, error) {
	return r.readClient(ctx, actor, func(tx auth.Tx) (*auth.Client, error) { return tx.Clients().Client(ctx, id) })
}

// ClientByName returns the client with this name, or fault.NotFound. It needs clients:read.
func (r *Registry) ClientByName(ctx context.Context, actor auth.Actor, name string) (*ClientDetail, error) {
	return r.readClient(ctx, actor, func(tx auth.Tx) (*auth.Client, error) { return tx.Clients().ClientByName(ctx, name) })
}

func (r *Registry) readClient(ctx context.Context, actor auth.Actor, find func(auth.Tx) (*auth.Client, error)) (found *ClientDetail, err error) {
	if err := need(actor, auth.ScopeClientsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		c, err := find(tx)
		if err == nil {
			found, err = clientDetail(ctx, tx, c)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func clientDetail(ctx context.Context, tx auth.Tx, c *auth.Client) (*ClientDetail, error) {
	used, err := tx.Usage().ClientUse(ctx, c.ID)
	return &ClientDetail{*c, used}, err
}

// ListClients returns a page of the clients that q selects. It needs clients:read.
func (r *Registry) ListClients(ctx context.Context, actor auth.Actor, q auth.ClientQuery) (page []*ClientDetail, err error) {
	if err := need(actor, auth.ScopeClientsRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		page = nil
		clients, err := tx.Clients().ListClients(ctx, q)
		if err != nil {
			return err
		}
		for _, c := range clients {
			detail, err := clientDetail(ctx, tx, c)
			if err != nil {
				return err
			}
			page = append(page, detail)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// IssuersNamed returns the trusted issuers with these ids or names, for the rules of a client. It is a part of writing clients: it needs
// clients:write, and fault.InvalidRequest says which issuer there is not.
func (r *Registry) IssuersNamed(ctx context.Context, actor auth.Actor, names []string) (found map[string]auth.TrustedIssuerID, err error) {
	if err := need(actor, auth.ScopeClientsWrite); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		all, err := tx.Issuers().TrustedIssuers(ctx)
		if err != nil {
			return err
		}
		found = map[string]auth.TrustedIssuerID{}
		for _, name := range names {
			issuer := issuerNamed(all, name)
			if issuer == nil {
				return fault.New(fault.InvalidRequest, "there is no trusted issuer "+name).At("federation")
			}
			found[name] = issuer.ID
		}
		return nil
	})
	return found, err
}

// issuerNamed returns the issuer with this id or name, or nil.
func issuerNamed(all []*auth.TrustedIssuer, name string) (found *auth.TrustedIssuer) {
	for _, issuer := range all {
		if issuer.ID.String() == name {
			return issuer
		}
		if issuer.Name == name {
			found = issuer
		}
	}
	return found
}
