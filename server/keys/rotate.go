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
	// Tokens says how many living tokens the compromised key signed, for the audit log; nil: nobody counted.
	Tokens *int64
	Actor  auth.Actor
	Now    time.Time
}

// Rotate makes the next key. It returns fault.InvalidRequest for an algorithm that does not exist or an activation so soon
// that verifiers may not have seen the key, and fault.Conflict if there is a next key already. A compromised key is replaced
// in any case; a next key stays what it is.
func Rotate(ctx context.Context, store auth.Store, master seal.Key, r Rotation) (*auth.Key, error) {
	next, err := Prepare(master, r)
	if err != nil {
		return nil, err
	}
	if err := store.Update(ctx, func(tx auth.Tx) error { return next.Put(ctx, tx) }); err != nil {
		return nil, err
	}
	return next.Key, nil
}

// Next is a key that is made but not stored: an RSA key takes its time, which no transaction should wait for.
type Next struct {
	Key *auth.Key

	rotation Rotation
	master   seal.Key
}

// Prepare is the part of Rotate that needs no transaction.
func Prepare(master seal.Key, r Rotation) (*Next, error) {
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
	return &Next{Key: key, rotation: r, master: master}, nil
}

// Put is the part of Rotate that belongs into a transaction.
func (n *Next) Put(ctx context.Context, tx auth.Tx) error {
	return within(ctx, tx, n.master, func(all []*auth.Key) error {
		if !n.rotation.Compromised && following(n.rotation.Algorithm, all, n.rotation.Now) != nil {
			return fault.New(fault.Conflict, "the next key of this algorithm exists already")
		}
		return n.rotation.apply(ctx, tx, n.Key, all)
	})
}

// apply writes the new key and, if it is compromised, the end of the current one.
func (r Rotation) apply(ctx context.Context, tx auth.Tx, key *auth.Key, all []*auth.Key) error {
	if err := tx.Keys().PutSigningKey(ctx, key); err != nil {
		return fmt.Errorf("insert signing key %s: %w", key.ID, err)
	}
	changes := []auth.Change{{Kind: auth.KeysChanged, At: r.Now}}
	event := audit{actor: r.Actor, action: "key.rotate", target: key.ID.String(), after: &record{Algorithm: key.Algorithm, ActiveAt: &key.ActiveAt}}
	if old := current(r.Algorithm, all, r.Now); r.Compromised && old != nil {
		if err := revoke(ctx, tx, old, r.Now); err != nil {
			return err
		}
		changes = append(changes, auth.Change{Kind: auth.RevokeKey, Subject: old.ID, At: r.Now})
		event.after.Revoked, event.after.Tokens = old.ID.String(), r.Tokens
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
	Key    auth.KeyID
	Tokens *int64 // how many living tokens it signed, for the audit log; nil: nobody counted
	Actor  auth.Actor
	Now    time.Time
}

// Revoke withdraws a next or retired key; of one that is revoked nothing changes. It returns fault.NotFound for an unknown
// key, and fault.Conflict for the current one, which Rotate replaces as compromised.
func Revoke(ctx context.Context, store auth.Store, master seal.Key, w Withdrawal) error {
	return store.Update(ctx, func(tx auth.Tx) error { return w.Put(ctx, tx, master) })
}

// Put is Revoke within a transaction.
func (w Withdrawal) Put(ctx context.Context, tx auth.Tx, master seal.Key) error {
	return within(ctx, tx, master, func(all []*auth.Key) error {
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
		event := audit{
			actor: w.Actor, action: "key.revoke", target: w.Key.String(), after: &record{Algorithm: all[i].Algorithm, Tokens: w.Tokens},
		}
		if err := recordAudit(ctx, tx, w.Now, event); err != nil {
			return err
		}
		return appendChanges(ctx, tx,
			auth.Change{Kind: auth.KeysChanged, At: w.Now}, auth.Change{Kind: auth.RevokeKey, Subject: w.Key, At: w.Now})
	})
}
