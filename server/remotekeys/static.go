package remotekeys

import (
	"crypto/sha256"
	"fmt"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

// static is a set that was given, parsed.
type static []*jose.Key

// inline returns the keys of a set that is given with the source. It is parsed once, and again after many others.
func (k *Keys) inline(source Source) (static, error) {
	name := inlineKey{source.Kind, sha256.Sum256([]byte(source.Inline))}
	if set, ok := k.parsed.GetIfPresent(name); ok {
		return set, nil
	}
	set, err := parse(source)
	if err != nil {
		return nil, err
	}
	k.parsed.Set(name, set)
	return set, nil
}

type inlineKey struct {
	kind Kind
	sum  [sha256.Size]byte
}

// find judges as jwks.Cache does: kid "" stands for the only key that is for alg.
func (s static) find(kid string, alg jose.Algorithm) (*jose.Key, error) {
	var found *jose.Key
	for _, key := range s {
		if kid != "" && key.ID() != kid || !key.Allows(alg) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: several are for %s, and the token names none", jwks.ErrUnknownKey, alg)
		}
		found = key
	}
	if found == nil {
		return nil, jwks.ErrUnknownKey
	}
	return found, nil
}
