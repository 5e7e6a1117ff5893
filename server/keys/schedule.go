package keys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// Schedule says how often keys are replaced.
type Schedule struct {
	Period time.Duration // from one activation to the next; zero: DefaultPeriod
	Actor  auth.Actor
	Now    time.Time
}

// Due returns the algorithms whose next key should be made now, in order to be published PublishAhead before the current
// one has signed for period. An algorithm that has a next key, or no current one, is not among them.
func Due(all []*auth.Key, now time.Time, period time.Duration) []auth.Algorithm {
	var due []auth.Algorithm
	for _, alg := range auth.Algorithms() {
		signing := current(alg, all, now)
		if signing != nil && following(alg, all, now) == nil && !now.Add(PublishAhead).Before(signing.ActiveAt.Add(period)) {
			due = append(due, alg)
		}
	}
	return due
}

// RotateDue makes the next key of every algorithm that is due, and deletes the keys that no token can need any more. When
// there is nothing to do it only reads. Any number of instances may call it at any time; once an hour is often enough.
func RotateDue(ctx context.Context, store auth.Store, master seal.Key, s Schedule) error {
	if s.Period == 0 {
		s.Period = DefaultPeriod
	}
	all, err := read(ctx, store)
	if err != nil {
		return err
	}
	due := Due(all, s.Now, s.Period)
	if len(due) == 0 && len(unneeded(all, s.Now)) == 0 {
		return nil
	}
	made, err := generateAll(due, s.Now.Add(PublishAhead), s.Now, master)
	if err != nil {
		return err
	}
	return update(ctx, store, master, func(tx auth.Tx, all []*auth.Key) error {
		due := Due(all, s.Now, s.Period)
		for _, key := range made {
			if !slices.Contains(due, key.Algorithm) {
				continue // another instance was faster
			}
			rotation := Rotation{Algorithm: key.Algorithm, Actor: s.Actor, Now: s.Now}
			if err := rotation.apply(ctx, tx, key, all); err != nil {
				return err
			}
		}
		return s.sweep(ctx, tx, all)
	})
}

// sweep deletes what is not needed any more.
func (s Schedule) sweep(ctx context.Context, tx auth.Tx, all []*auth.Key) error {
	old := unneeded(all, s.Now)
	for _, key := range old {
		if err := tx.Keys().DeleteSigningKey(ctx, key.ID); err != nil {
			return fmt.Errorf("delete signing key %s: %w", key.ID, err)
		}
		event := audit{actor: s.Actor, action: "key.delete", target: key.ID.String(), before: &record{Algorithm: key.Algorithm}}
		if err := recordAudit(ctx, tx, s.Now, event); err != nil {
			return err
		}
	}
	if len(old) == 0 {
		return nil
	}
	return appendChanges(ctx, tx, auth.Change{Kind: auth.KeysChanged, At: s.Now})
}

func unneeded(all []*auth.Key, now time.Time) []*auth.Key {
	return slices.DeleteFunc(slices.Clone(all), func(k *auth.Key) bool { return Needed(k, all, now) })
}
