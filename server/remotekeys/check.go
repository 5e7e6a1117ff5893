package remotekeys

import (
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/jose"
)

// CheckBundle tells whether a trust bundle that is given with its source has a key for JWT-SVIDs, for when somebody registers it. The error is
// fault.InvalidRequest with a detail for who registers it, who names the field by its At.
func CheckBundle(bundle string) error {
	keys, err := parse(Source{Kind: Bundle, Inline: bundle})
	switch {
	case err != nil:
		return fault.Wrap(fault.InvalidRequest, "must be a SPIFFE trust bundle: a JSON object with a member keys of at most 100 keys, no name twice", err)
	case len(keys) == 0:
		return fault.New(fault.InvalidRequest, "holds no key for JWT-SVIDs: one with use jwt-svid and a kid is needed")
	}
	return nil
}

// parse returns the keys that can be used of a set or bundle that is given with its source.
func parse(source Source) ([]*jose.Key, error) {
	text := []byte(source.Inline)
	if source.Kind == Bundle {
		var err error
		if text, _, err = jwtKeys(text); err != nil {
			return nil, err
		}
	}
	keys, _, err := jose.ParseKeySet(text)
	if err != nil {
		return nil, fmt.Errorf("inline key set: %w", err)
	}
	return keys, nil
}
