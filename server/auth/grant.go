package auth

import (
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// Grant lets a client call an API with some of its scopes. What no grant names is not allowed.
type Grant struct {
	Client   ClientID
	API      APIID
	Revision int64 // counts the changes of this row, from 1; 0 is a grant that is not stored yet
	Scopes   Scopes
	MayAct   ClientID // the only client that may exchange the tokens of this grant; zero: whoever has an ExchangeGrant
	Created  time.Time
	Updated  time.Time
}

// Validate returns fault.InvalidScope if the grant names a scope that the API does not offer, fault.InvalidRequest if it names none.
func (g *Grant) Validate(api *API) error {
	if len(g.Scopes) == 0 {
		return fault.New(fault.InvalidRequest, "a grant needs at least one scope; to allow nothing, delete it").At("scopes")
	}
	offered := api.ScopeNames()
	for _, scope := range g.Scopes {
		if !offered.Has(scope) {
			return fault.New(fault.InvalidScope, "the API does not offer the scope "+scope).At("scopes")
		}
	}
	return nil
}
