package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// Resealing asks for another master key.
type Resealing struct {
	Old, New seal.Key
	Actor    auth.Actor
	Now      time.Time
}

// Reseal seals every key anew under the new master key, in one transaction, or none if one does not open under the old.
// If all are under the new one already, it does nothing: a call whose outcome was not known may be repeated.
//
// Nothing is written to the change log, since no key changes. Running instances go on with the keys that they hold, and
// refuse to make new ones, until they are restarted with the new master key.
func Reseal(ctx context.Context, store auth.Store, r Resealing) error {
	return store.Update(ctx, func(tx auth.Tx) error {
		sealed, err := tx.Keys().SealedKeys(ctx)
		if err != nil {
			return fmt.Errorf("read sealed keys: %w", err)
		}
		if CheckMaster(sealed, r.New) == nil {
			return nil
		}
		if err := CheckMaster(sealed, r.Old); err != nil {
			return err
		}
		if err := r.sealedKeys(ctx, tx, sealed); err != nil {
			return err
		}
		if err := r.signingKeys(ctx, tx); err != nil {
			return err
		}
		return recordAudit(ctx, tx, r.Now, audit{actor: r.Actor, action: "master_key.rotate"})
	})
}

func (r Resealing) sealedKeys(ctx context.Context, tx auth.Tx, sealed []*auth.SealedKey) error {
	for _, k := range sealed {
		plain, err := openSealed(k, r.Old)
		if err != nil {
			return err
		}
		fresh := *k
		fresh.Sealed = r.New.Seal(plain, sealedIdentity(k))
		if err := tx.Keys().PutSealedKey(ctx, &fresh); err != nil {
			return fmt.Errorf("replace %s: %w", sealedName(k), err)
		}
	}
	return nil
}

func (r Resealing) signingKeys(ctx context.Context, tx auth.Tx) error {
	all, err := tx.Keys().SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	for _, k := range all {
		plain, err := r.Old.Open(k.Sealed, identity(k))
		if err != nil {
			return fmt.Errorf("open private part of key %s: %w", k.ID, err)
		}
		fresh := *k
		fresh.Sealed = r.New.Seal(plain, identity(k))
		if err := tx.Keys().PutSigningKey(ctx, &fresh); err != nil {
			return fmt.Errorf("replace signing key %s: %w", k.ID, err)
		}
	}
	return nil
}
