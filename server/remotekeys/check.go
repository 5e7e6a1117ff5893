package remotekeys

import (
	"errors"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sdk/jose"
)

// CheckInline tells whether a set or bundle that is given with its source can be used, for when somebody registers it. The error is
// fault.InvalidRequest with a detail for who registers it, who names the field by its At. A set with a private key in it is refused, since
// that key has leaked, and so is one without any key that can be used.
func CheckInline(kind Kind, set string) error {
	text := []byte(set)
	if kind == Bundle {
		var err error
		if text, _, err = jwtKeys(text); err != nil {
			return fault.Wrap(fault.InvalidRequest, "must be a SPIFFE trust bundle: a JSON object with a member keys, no name twice", err)
		}
	}
	keys, skipped, err := jose.ParseKeySet(text)
	if err != nil {
		return fault.Wrap(fault.InvalidRequest, "must be a JWK set (RFC 7517): a JSON object with a member keys of at most 100 keys, no name twice", err)
	}
	var why []string
	for _, reason := range skipped {
		if errors.Is(reason, jose.ErrPrivate) {
			return fault.Wrap(fault.InvalidRequest, "holds a private or secret key: register the public key alone, and make a new one, for this one has been shown", reason)
		}
		why = append(why, reason.Error())
	}
	switch {
	case len(keys) > 0:
		return nil
	case kind == Bundle:
		return fault.New(fault.InvalidRequest, "holds no key for JWT-SVIDs: one with use jwt-svid and a kid is needed")
	case len(why) > 0:
		return fault.New(fault.InvalidRequest, "holds no key that can be used: "+strings.Join(why, "; "))
	}
	return fault.New(fault.InvalidRequest, "holds no key")
}
