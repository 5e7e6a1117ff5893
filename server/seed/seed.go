// Package seed writes the first rows of a database: what every deployment has, and the clients that a first start makes.
package seed

import (
	"context"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
)

// System makes what is missing of that which every deployment has: sealed keys, the signing keys that are quick to make, and
// the built-in APIs. Any number of instances may call it at once. It returns keys.ErrMasterKey if master is not the one under
// which the database was begun.
func System(ctx context.Context, store auth.Store, master seal.Key, now func() time.Time) (*registry.Registry, error) {
	if err := keys.EnsureSealed(ctx, store, master, now()); err != nil {
		return nil, err
	}
	var sealed []*auth.SealedKey
	err := store.View(ctx, func(tx auth.Tx) (err error) {
		sealed, err = tx.Keys().SealedKeys(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	peppers, err := keys.OpenPeppers(sealed, master)
	if err != nil {
		return nil, err
	}
	audit, err := keys.OpenAuditKeys(sealed, master)
	if err != nil {
		return nil, err
	}
	if chained, ok := store.(keys.Chained); ok {
		chained.Chain(audit) // before anything is recorded
	}
	if err := keys.Ensure(ctx, store, master, now(), auth.ES256, auth.EdDSA); err != nil {
		return nil, err
	}
	made := &registry.Registry{
		Store: store, Peppers: func() *auth.Peppers { return peppers }, AuditKeys: func() *auth.AuditKeys { return audit }, Master: master, Now: now,
	}
	return made, made.EnsureBuiltIns(ctx, actor())
}

func actor() auth.Actor { return auth.Actor{Name: "first start"} }
