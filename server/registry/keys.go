package registry

import (
	"context"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// KeyDetail is a signing key without its private part.
type KeyDetail struct {
	auth.Key
	State auth.KeyState
	// SafeToDrop is from when no living token can need it; zero: no end in sight.
	SafeToDrop time.Time
}

// ListKeys returns the signing keys that are kept, in order of id. It needs keys:read.
func (r *Registry) ListKeys(ctx context.Context, actor auth.Actor) (found []KeyDetail, err error) {
	if err := need(actor, auth.ScopeKeysRead); err != nil {
		return nil, err
	}
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		all, err := tx.Keys().SigningKeys(ctx)
		found = nil
		for _, k := range all {
			found = append(found, KeyDetail{public(k), keys.State(k, all, r.Now()), keys.NeededUntil(k, all)})
		}
		return err
	})
	return found, err
}

func public(k *auth.Key) auth.Key {
	shown := *k
	shown.Sealed = nil
	return shown
}

// RotateKey makes the next signing key of an algorithm; Actor, Now and Tokens of rot are set by it. It needs keys:write and returns what
// keys.Rotate does. The private part of the key is not in the answer.
func (r *Registry) RotateKey(ctx context.Context, actor auth.Actor, rot keys.Rotation) (*auth.Key, error) {
	if err := need(actor, auth.ScopeKeysWrite); err != nil {
		return nil, err
	}
	rot.Actor, rot.Now, rot.Tokens = actor, r.Now().UTC(), nil
	if rot.Compromised {
		hit, err := r.countSigned(ctx, func(k *auth.Key, all []*auth.Key) bool {
			return k.Algorithm == rot.Algorithm && keys.State(k, all, rot.Now) == auth.KeyCurrent
		})
		if err != nil {
			return nil, err
		}
		rot.Tokens = &hit.Tokens
	}
	next, refused := keys.Prepare(r.Master, rot)
	key, err := update(ctx, r, func(tx auth.Tx) (auth.Key, error) {
		if refused != nil { // not before: a repeated call gets its answer, though its time is no longer far enough ahead
			return auth.Key{}, refused
		}
		return public(next.Key), next.Put(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// RevokeKey withdraws a key that does not sign, and with it every token that it signed. Of one that is revoked nothing changes. It needs
// keys:write, and returns fault.NotFound for an unknown key and fault.Conflict for one that signs: rotate that as compromised.
// Which key signed a token is told from the time of the token, so Exact is false where any token is hit.
func (r *Registry) RevokeKey(ctx context.Context, actor auth.Actor, id auth.KeyID) (*Revocation, error) {
	if err := need(actor, auth.ScopeKeysWrite); err != nil {
		return nil, err
	}
	hit, err := r.countSigned(ctx, func(k *auth.Key, _ []*auth.Key) bool { return k.ID == id && k.RevokedAt.IsZero() })
	if err != nil {
		return nil, err
	}
	done, err := update(ctx, r, func(tx auth.Tx) (Revocation, error) {
		w := keys.Withdrawal{Key: id, Tokens: &hit.Tokens, Actor: actor, Now: r.Now().UTC()}
		if err := w.Put(ctx, tx, r.Master); err != nil {
			return Revocation{}, err
		}
		return r.revocation(ctx, tx, hit)
	})
	if err != nil {
		return nil, err
	}
	return &done, nil
}

// countSigned counts what the key signed that choose picks.
func (r *Registry) countSigned(ctx context.Context, choose func(key *auth.Key, all []*auth.Key) bool) (Hit, error) {
	var key *auth.Key
	var all []*auth.Key
	algorithms := map[auth.APIID]auth.Algorithm{}
	err := r.Store.View(ctx, func(tx auth.Tx) (err error) {
		key = nil
		if all, err = tx.Keys().SigningKeys(ctx); err != nil {
			return err
		}
		for _, k := range all {
			if choose(k, all) {
				key = k
			}
		}
		return tx.APIs().EachAPI(ctx, func(a *auth.API) error {
			algorithms[a.ID] = a.Algorithm
			return nil
		})
	})
	if err != nil || key == nil || key.ActiveAt.After(r.Now()) {
		return none(), err
	}
	hit, err := r.count(ctx, func(t *auth.Token) bool {
		return t.Proof == [32]byte{} && algorithms[t.API] == key.Algorithm && keys.State(key, all, t.Issued) == auth.KeyCurrent
	}, auth.ClientID{})
	hit.Exact = hit.Exact && hit.Tokens == 0
	return hit, err
}
