package bench

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	crowdOfClients = 10_000
	clientsAtOnce  = 1000 // in a transaction
)

// credentials are a client's, the same in every database.
type credentials struct {
	id     auth.ClientID
	secret auth.SecretID
	value  auth.SecretValue
}

func newCredentials(count int) (all []credentials) {
	now := time.Now()
	for range count {
		all = append(all, credentials{auth.NewClientID(now), auth.NewSecretID(now), auth.NewSecretValue()})
	}
	return all
}

// populate stores all clients with a grant for both APIs. The operations of administration, one by one, would take minutes; no server runs yet
// that would have to be told.
func (k *keeper) populate(clients []credentials) {
	k.Helper()
	ctx := k.Context()
	store, err := sqlstore.Open(ctx, sqlstore.Config{URL: k.database, Logger: slog.New(slog.DiscardHandler)})
	k.check(err)
	defer store.Close()
	master, err := seal.ReadKeyFile(k.key)
	k.check(err)
	r, err := seed.System(ctx, store, master, time.Now)
	k.check(err)
	k.apis = map[string]auth.APIID{}
	k.check(store.View(ctx, func(tx auth.Tx) error {
		for _, identifier := range []string{jwtAPI, opaqueAPI} {
			api, err := tx.APIs().APIByIdentifier(ctx, identifier)
			if err != nil {
				return err
			}
			k.apis[identifier] = api.ID
		}
		return nil
	}))
	for some := range slices.Chunk(clients, clientsAtOnce) {
		k.check(store.Update(ctx, func(tx auth.Tx) error {
			for _, c := range some {
				if err := c.put(ctx, tx, r, k.apis); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// put stores the client with its secret and what it is granted.
func (c credentials) put(ctx context.Context, tx auth.Tx, r *registry.Registry, apis map[string]auth.APIID) error {
	now := time.Now()
	err := tx.Clients().PutClient(ctx, &auth.Client{
		ID: c.id, Name: c.id.String(), Status: auth.Active, AuthMethod: auth.SecretBasic, Created: now, Updated: now,
	})
	if err != nil {
		return fmt.Errorf("put client: %w", err)
	}
	s := &auth.Secret{ID: c.secret, Client: c.id, Hint: c.value.Hint(), Status: auth.Active, Created: now}
	s.Hash, s.Pepper = r.Peppers().Hash(c.value)
	if err := tx.Secrets().PutSecret(ctx, s); err != nil {
		return fmt.Errorf("put secret: %w", err)
	}
	var grants []*auth.Grant
	for _, api := range apis {
		grants = append(grants, &auth.Grant{Client: c.id, API: api, Scopes: auth.NewScopes("read", "write"), Created: now, Updated: now})
	}
	return tx.Grants().PutGrant(ctx, grants...)
}
