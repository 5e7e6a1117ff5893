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

// find judges as jwks.Cache does: kid "" stands for the only key that is for alg. A key that was given without a kid goes by its thumbprint, too
// (RFC 7638), which is what many libraries name keys by.
func (s static) find(kid string, alg jose.Algorithm) (*jose.Key, error) {
	var found *jose.Key
	for _, key := range s {
		named := kid == "" || key.ID() == kid || key.ID() == "" && key.Thumbprint() == kid
		if !named || !key.Allows(alg) {
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
