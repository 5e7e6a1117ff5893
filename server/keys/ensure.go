package keys

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// Ensure makes a first key for each of the algorithms that has no key in use. It is active at once, since no verifier can
// hold an older JWK set. EnsureSealed must have run before. Any number of instances may call it at once.
func Ensure(ctx context.Context, store auth.Store, master seal.Key, now time.Time, algs ...auth.Algorithm) error {
	all, err := read(ctx, store)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(algs), func(alg auth.Algorithm) bool { return len(usable(alg, all)) > 0 })
	made, err := generateAll(missing, atOnce(now), now, master)
	if err != nil || len(made) == 0 {
		return err
	}
	return update(ctx, store, master, func(tx auth.Tx, all []*auth.Key) error {
		put := false
		for _, key := range made {
			if len(usable(key.Algorithm, all)) > 0 {
				continue
			}
			put = true
			if err := tx.Keys().PutSigningKey(ctx, key); err != nil {
				return fmt.Errorf("insert signing key %s: %w", key.ID, err)
			}
		}
		if !put {
			return nil
		}
		return appendChanges(ctx, tx, auth.Change{Kind: auth.KeysChanged, At: now})
	})
}

// generateAll makes keys outside any transaction: an RSA key takes its time.
func generateAll(algs []auth.Algorithm, activeAt, now time.Time, master seal.Key) ([]*auth.Key, error) {
	made := make([]*auth.Key, len(algs))
	for i, alg := range algs {
		key, err := Generate(alg, activeAt, now, master)
		if err != nil {
			return nil, err
		}
		made[i] = key
	}
	return made, nil
}

// read returns every signing key.
func read(ctx context.Context, store auth.Store) (all []*auth.Key, err error) {
	err = store.View(ctx, func(tx auth.Tx) error {
		all, err = tx.Keys().SigningKeys(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return all, nil
}

// update runs change on the signing keys as within does.
func update(ctx context.Context, store auth.Store, master seal.Key, change func(auth.Tx, []*auth.Key) error) error {
	return store.Update(ctx, func(tx auth.Tx) error {
		return within(ctx, tx, master, func(all []*auth.Key) error { return change(tx, all) })
	})
}

// within runs change on the signing keys, unless the master key is not the database's: nothing must be sealed under one
// that the others, or the next start, cannot use.
func within(ctx context.Context, tx auth.Tx, master seal.Key, change func([]*auth.Key) error) error {
	sealed, err := tx.Keys().SealedKeys(ctx)
	if err != nil {
		return fmt.Errorf("read sealed keys: %w", err)
	}
	if err := CheckMaster(sealed, master); err != nil {
		return err
	}
	all, err := tx.Keys().SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	return change(all)
}

func appendChanges(ctx context.Context, tx auth.Tx, changes ...auth.Change) error {
	if err := tx.Changes().Append(ctx, changes...); err != nil {
		return fmt.Errorf("append changes: %w", err)
	}
	return nil
}

// record is what the audit log says of a key, in the words of the admin API.
type record struct {
	Algorithm auth.Algorithm `json:"alg,omitempty"`
	ActiveAt  *time.Time     `json:"active_at,omitempty"`
	Revoked   string         `json:"revoked,omitempty"` // the key that this one replaces at once
	Tokens    *int64         `json:"revoked_tokens,omitempty"`
}

// audit is an event before it has its id.
type audit struct {
	actor         auth.Actor
	action        string
	target        string
	before, after *record
}

func recordAudit(ctx context.Context, tx auth.Tx, now time.Time, a audit) error {
	changes, err := json.Marshal(map[string]*record{"before": a.before, "after": a.after})
	if err != nil {
		return fmt.Errorf("encode audit event %s: %w", a.action, err)
	}
	err = tx.Audit().Record(ctx, auth.AuditEvent{
		ID: auth.NewEventID(now), At: now, Actor: a.actor, Action: a.action, Target: a.target, Changes: string(changes),
	})
	if err != nil {
		return fmt.Errorf("record %s: %w", a.action, err)
	}
	return nil
}
