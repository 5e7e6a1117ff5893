package registry

import (
	"context"
	"errors"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Resources returns the identifiers of the clients' default resources. It is a part of reading them, and needs no scope of its own.
func (r *Registry) Resources(ctx context.Context, clients ...*auth.Client) (identifiers map[auth.APIID]string, err error) {
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		identifiers = map[auth.APIID]string{}
		for _, c := range clients {
			if c.DefaultResource == (auth.APIID{}) || identifiers[c.DefaultResource] != "" {
				continue
			}
			a, err := tx.APIs().API(ctx, c.DefaultResource)
			if errors.Is(err, fault.NotFound) {
				continue // deleted meanwhile
			}
			if err != nil {
				return err
			}
			identifiers[a.ID] = a.Identifier
		}
		return nil
	})
	return identifiers, err
}

// Resource returns the API that a client's default resource names, zero for none. One that does not exist is refused as one that the client
// is not granted is, so that nobody learns by it what exists.
func (r *Registry) Resource(ctx context.Context, identifier string) (id auth.APIID, err error) {
	if identifier == "" {
		return id, nil
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		a, err := tx.APIs().APIByIdentifier(ctx, identifier)
		if errors.Is(err, fault.NotFound) {
			return errNotGranted()
		}
		if err == nil {
			id = a.ID
		}
		return err
	})
	return id, err
}

func errNotGranted() error {
	return fault.New(fault.InvalidRequest, "the client has no grant for this API").At("default_resource")
}

// Belongs returns fault.NotFound unless the secret is the client's.
func (r *Registry) Belongs(ctx context.Context, client auth.ClientID, secret auth.SecretID) error {
	return r.Store.View(ctx, func(tx auth.Tx) error {
		_, err := SecretRef{Client: client, ID: secret}.find(ctx, tx)
		return err
	})
}
