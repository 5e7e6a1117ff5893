package keys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// Rotation asks for the next key of an algorithm.
type Rotation struct {
	Algorithm auth.Algorithm
	// ActiveAt is when the key begins to sign; zero: PublishAhead from now.
	ActiveAt time.Time
	// Compromised says that the current key must not be believed any more: the new one is active at once, whatever ActiveAt
	// says, and everything that the current one signed is refused.
	Compromised bool
	Actor       auth.Actor
	Now         time.Time
}

// Rotate makes the next key. It returns fault.InvalidRequest for an algorithm that does not exist or an activation so soon
// that verifiers may not have seen the key, and fault.Conflict if there is a next key already. A compromised key is replaced
// in any case; a next key stays what it is.
func Rotate(ctx context.Context, store auth.Store, master seal.Key, r Rotation) (*auth.Key, error) {
	if !slices.Contains(auth.Algorithms(), r.Algorithm) {
		return nil, fault.New(fault.InvalidRequest, `allowed are "ES256", "RS256", "PS256" and "EdDSA"`).At("algorithm")
	}
	activeAt := r.ActiveAt
	switch {
	case r.Compromised:
		activeAt = atOnce(r.Now)
	case activeAt.IsZero():
		activeAt = r.Now.Add(PublishAhead)
	case activeAt.Before(r.Now.Add(MinPublishAhead)):
		return nil, fault.New(fault.InvalidRequest, fmt.Sprintf(
			"verifiers must see a key %.0f minutes before it signs; only a compromised key is replaced at once", MinPublishAhead.Minutes())).At("active_at")
	}
	key, err := Generate(r.Algorithm, activeAt, r.Now, master)
	if err != nil {
		return nil, err
	}
	err = update(ctx, store, master, func(tx auth.Tx, all []*auth.Key) error {
		if !r.Compromised && following(r.Algorithm, all, r.Now) != nil {
			return fault.New(fault.Conflict, "the next key of this algorithm exists already")
		}
		return r.apply(ctx, tx, key, all)
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// apply writes the new key and, if it is compromised, the end of the current one.
func (r Rotation) apply(ctx context.Context, tx auth.Tx, key *auth.Key, all []*auth.Key) error {
	if err := tx.Keys().PutSigningKey(ctx, key); err != nil {
		return fmt.Errorf("insert signing key %s: %w", key.ID, err)
	}
	changes := []auth.Change{{Kind: auth.KeysChanged, At: r.Now}}
	event := audit{actor: r.Actor, action: "key.rotate", target: key.ID.String(), record: record{Algorithm: key.Algorithm, ActiveAt: &key.ActiveAt}}
	if old := current(r.Algorithm, all, r.Now); r.Compromised && old != nil {
		if err := revoke(ctx, tx, old, r.Now); err != nil {
			return err
		}
		changes = append(changes, auth.Change{Kind: auth.RevokeKey, Subject: old.ID, At: r.Now})
		event.record.Revoked = old.ID.String()
	}
	if err := recordAudit(ctx, tx, r.Now, event); err != nil {
		return err
	}
	return appendChanges(ctx, tx, changes...)
}

func revoke(ctx context.Context, tx auth.Tx, key *auth.Key, now time.Time) error {
	revoked := *key
	revoked.RevokedAt = now.UTC().Truncate(time.Microsecond)
	if err := tx.Keys().PutSigningKey(ctx, &revoked); err != nil {
		return fmt.Errorf("revoke signing key %s: %w", key.ID, err)
	}
	return nil
}

// Withdrawal asks to revoke a key that does not sign.
type Withdrawal struct {
	Key   auth.KeyID
	Actor auth.Actor
	Now   time.Time
}

// Revoke withdraws a next or retired key; of one that is revoked nothing changes. It returns fault.NotFound for an unknown
// key, and fault.Conflict for the current one, which Rotate replaces as compromised.
func Revoke(ctx context.Context, store auth.Store, master seal.Key, w Withdrawal) error {
	return update(ctx, store, master, func(tx auth.Tx, all []*auth.Key) error {
		i := slices.IndexFunc(all, func(k *auth.Key) bool { return k.ID == w.Key })
		if i < 0 {
			return fault.New(fault.NotFound, "there is no such key")
		}
		switch State(all[i], all, w.Now) {
		case auth.KeyRevoked:
			return nil
		case auth.KeyCurrent:
			return fault.New(fault.Conflict, "this key signs: rotate it as compromised, so that another takes its place")
		case auth.KeyNext, auth.KeyRetired:
		}
		if err := revoke(ctx, tx, all[i], w.Now); err != nil {
			return err
		}
		event := audit{actor: w.Actor, action: "key.revoke", target: w.Key.String(), record: record{Algorithm: all[i].Algorithm}}
		if err := recordAudit(ctx, tx, w.Now, event); err != nil {
			return err
		}
		return appendChanges(ctx, tx,
			auth.Change{Kind: auth.KeysChanged, At: w.Now}, auth.Change{Kind: auth.RevokeKey, Subject: w.Key, At: w.Now})
	})
}
