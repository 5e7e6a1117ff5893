package keys

import (
	"cmp"
	"slices"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// State tells where the key is in its life. all are the keys of the store, the key among them.
func State(key *auth.Key, all []*auth.Key, now time.Time) auth.KeyState {
	signing := current(key.Algorithm, all, now)
	switch {
	case !key.RevokedAt.IsZero():
		return auth.KeyRevoked
	case key.ActiveAt.After(now):
		return auth.KeyNext
	case signing == nil || signing.ID == key.ID:
		return auth.KeyCurrent
	default:
		return auth.KeyRetired
	}
}

// Needed reports whether the key must be kept: it may sign, a token that it signed may live, or, of a revoked key, the
// record that it is revoked may still be asked for.
func Needed(key *auth.Key, all []*auth.Key, now time.Time) bool {
	end := NeededUntil(key, all)
	return end.IsZero() || now.Before(end)
}

// NeededUntil returns until when the key must be kept; the zero time for one that no other follows yet. The follower counted
// is the first that is not revoked: were the one between withdrawn, this key might have signed until then.
func NeededUntil(key *auth.Key, all []*auth.Key) time.Time {
	if !key.RevokedAt.IsZero() {
		return key.RevokedAt.Add(auth.RevocationLife)
	}
	for _, k := range usable(key.Algorithm, all) {
		if order(key, k) < 0 {
			return k.ActiveAt.Add(keepAfter)
		}
	}
	return time.Time{}
}

// current returns the key of the algorithm that signs at now, or nil.
func current(alg auth.Algorithm, all []*auth.Key, now time.Time) (found *auth.Key) {
	for _, k := range usable(alg, all) {
		if !k.ActiveAt.After(now) {
			found = k
		}
	}
	return found
}

// following returns the first key of the algorithm that is to sign after now, or nil.
func following(alg auth.Algorithm, all []*auth.Key, now time.Time) *auth.Key {
	for _, k := range usable(alg, all) {
		if k.ActiveAt.After(now) {
			return k
		}
	}
	return nil
}

// usable returns the keys of the algorithm that are not revoked, in the order in which they sign.
func usable(alg auth.Algorithm, all []*auth.Key) []*auth.Key {
	var found []*auth.Key
	for _, k := range all {
		if k.Algorithm == alg && k.RevokedAt.IsZero() {
			found = append(found, k)
		}
	}
	slices.SortFunc(found, order)
	return found
}

func order(a, b *auth.Key) int {
	return cmp.Or(a.ActiveAt.Compare(b.ActiveAt), slices.Compare(a.ID[:], b.ID[:]))
}
