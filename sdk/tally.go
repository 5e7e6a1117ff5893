package sdk

import (
	"errors"

	"github.com/countersign/countersign/sdk/internal/count"
)

// tally counts what a verifier does.
type tally struct {
	remembered, accepted, invalid, insufficient, forbidden, unavailable count.Counter // by outcome
	signatures, records, introspections                                 count.Counter // what had to be done for them
}

// count counts the outcome of a token that was not answered from memory.
func (t *tally) count(err error) {
	switch {
	case err == nil:
		t.accepted.Inc()
	case errors.Is(err, ErrInvalidToken), errors.Is(err, ErrInvalidProof), errors.Is(err, ErrUseNonce), errors.Is(err, ErrInvalidRequest):
		t.invalid.Inc()
	case errors.Is(err, ErrInsufficientScope):
		t.insufficient.Inc()
	case errors.Is(err, ErrForbidden):
		t.forbidden.Inc()
	default:
		t.unavailable.Inc()
	}
}
