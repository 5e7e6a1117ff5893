package jwks

import (
	"fmt"

	"github.com/countersign/countersign/sdk/jose"
)

// keys are those of one set. They do not change, except that one may be withdrawn.
type keys struct {
	all  []*Held
	byID map[string]*Held
}

// succeed makes the keys of a set. What before has as well goes on as the same Held, so that what was verified by it stays verified.
func (k *keys) succeed(parsed []*jose.Key) *keys {
	set := &keys{byID: make(map[string]*Held, len(parsed))}
	for _, key := range parsed {
		held := k.same(key)
		if held == nil {
			held = &Held{Key: key}
		}
		set.all = append(set.all, held)
		if key.ID() != "" {
			set.byID[key.ID()] = held
		}
	}
	return set
}

// without returns what k has and other has not.
func (k *keys) without(other *keys) []*Held {
	var some []*Held
	if k != nil {
		for _, held := range k.all {
			if other.same(held.Key) == nil {
				some = append(some, held)
			}
		}
	}
	return some
}

func (k *keys) same(key *jose.Key) *Held {
	if k == nil {
		return nil
	}
	for _, held := range k.all {
		if held.Equal(key) {
			return held
		}
	}
	return nil
}

// find returns the key; nil and no error if there is none and a newer set may have it.
func (k *keys) find(kid string, alg jose.Algorithm) (*Held, error) {
	if k == nil {
		return nil, nil
	}
	if kid == "" {
		return k.only(alg)
	}
	held := k.byID[kid]
	if held != nil && !held.Allows(alg) {
		return nil, fmt.Errorf("%w: the one of this id is not for %s", ErrUnknownKey, alg)
	}
	return held, nil
}

func (k *keys) only(alg jose.Algorithm) (*Held, error) {
	var only *Held
	for _, held := range k.all {
		switch {
		case !held.Allows(alg):
		case only == nil:
			only = held
		default:
			return nil, fmt.Errorf("%w: several are for %s, and the token names none", ErrUnknownKey, alg)
		}
	}
	return only, nil
}
