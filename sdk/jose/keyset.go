package jose

import (
	"errors"
	"fmt"
	"slices"

	"github.com/countersign/countersign/sdk/strictjson"
)

const (
	// MaxKeySet is how long a key set may be, in bytes.
	MaxKeySet = 256 << 10
	// MaxKeys is how many keys a set may have, unusable ones included.
	MaxKeys = 100
)

// ParseKeySet reads a JWK set (RFC 7517 §5). Keys that cannot be used are passed over, as the RFC has it; skipped tells which, and
// why. Of different keys under one kid none is taken, for nobody can tell which is meant; the same key twice is taken once, for the
// algorithms of both. A set may have no key left. The error is ErrKeySet.
func ParseKeySet(set []byte) (keys []*Key, skipped []error, err error) {
	if len(set) > MaxKeySet {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrKeySet, MaxKeySet)
	}
	found := false
	err = strictjson.Object(set, func(name string, value strictjson.Value) error {
		if name != "keys" {
			return nil
		}
		found = true
		return value.Array(func(member strictjson.Value) error {
			if len(keys)+len(skipped) == MaxKeys {
				return fmt.Errorf("more than %d keys", MaxKeys)
			}
			if member.Kind() != strictjson.Map {
				return errors.New("a key that is no object")
			}
			var w written
			key, err := w.read(member)
			if err != nil {
				skipped = append(skipped, fmt.Errorf("key %d (kid %.64q): %w", len(keys)+len(skipped)+1, w.kid, err))
				return nil
			}
			keys = append(keys, key)
			return nil
		})
	})
	if err == nil && !found {
		err = errors.New("no member keys")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrKeySet, err)
	}
	keys, doubtful := single(keys)
	return keys, append(skipped, doubtful...), nil
}

// read reads the key that is a member of a set.
func (w *written) read(member strictjson.Value) (*Key, error) {
	if err := member.Object(w.member); err != nil {
		return nil, unusable(err)
	}
	return w.key()
}

// single returns one key for each kid. Keys without kid are told apart by what they are.
func single(keys []*Key) (unique []*Key, doubtful []error) {
	type name struct{ id, thumbprint string }
	first, several := map[name]*Key{}, map[name]bool{}
	for _, key := range keys {
		named := name{id: key.id}
		if key.id == "" {
			named.thumbprint = key.thumbprint
		}
		known := first[named]
		switch {
		case known == nil:
			first[named] = key
			unique = append(unique, key)
		case known.thumbprint == key.thumbprint:
			known.algorithms = slices.Compact(slices.Sorted(slices.Values(slices.Concat(known.algorithms, key.algorithms))))
		case !several[named]:
			several[named] = true
			doubtful = append(doubtful, fmt.Errorf("%w: several under kid %.64q", ErrKey, key.id))
		}
	}
	unique = slices.DeleteFunc(unique, func(k *Key) bool { return several[name{id: k.id}] })
	return unique, doubtful
}
