package auth

import (
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// ExchangeGrant lets a client exchange the tokens that it is called with, which are for one API, for tokens for another (RFC 8693). What no
// such grant names is not exchanged.
type ExchangeGrant struct {
	Client   ClientID // that may exchange
	Source   APIID    // that the subject token is for
	Target   APIID    // that the new token is for
	Revision int64    // counts the changes of this row, from 1; 0 is a grant that is not stored yet
	Scopes   []ExchangeScope
	Created  time.Time
	Updated  time.Time
}

// ExchangeScope is a scope of the target that may be given to whoever has a scope of the source.
type ExchangeScope struct {
	Scope string `json:"scope"`
	Needs string `json:"needs"` // scope that the subject token must have; the same name, as a rule
}

// Validate returns fault.InvalidScope if the grant names a scope that its API does not offer, fault.InvalidRequest for what else must not
// be stored.
func (g *ExchangeGrant) Validate(source, target *API) error {
	const field = "scopes"
	switch {
	case g.Source == g.Target:
		return fault.New(fault.InvalidRequest, "a token is exchanged for one for another API").At("target")
	case source.BuiltIn() || target.BuiltIn():
		return fault.New(fault.InvalidRequest, "tokens for Countersign itself are not exchanged").At("target")
	case len(g.Scopes) == 0:
		return fault.New(fault.InvalidRequest, "a grant needs at least one scope; to allow nothing, delete it").At(field)
	case len(g.Scopes) > MaxScopes:
		return fault.New(fault.InvalidRequest, "at most 256 scopes are allowed").At(field)
	}
	has, offers := source.ScopeNames(), target.ScopeNames()
	seen := map[string]bool{}
	for _, s := range g.Scopes {
		switch {
		case !offers.Has(s.Scope):
			return fault.New(fault.InvalidScope, "the target API does not offer the scope "+s.Scope).At(field)
		case !has.Has(s.Needs):
			return fault.New(fault.InvalidScope, "the source API does not offer the scope "+s.Needs).At(field)
		case seen[s.Scope]:
			return fault.New(fault.InvalidRequest, "a scope is named twice").At(field)
		}
		seen[s.Scope] = true
	}
	return nil
}

// Allowed returns the scopes of the target that a token with these scopes of the source may be exchanged for.
func (g *ExchangeGrant) Allowed(held Scopes) Scopes {
	var names []string
	for _, s := range g.Scopes {
		if held.Has(s.Needs) {
			names = append(names, s.Scope)
		}
	}
	return NewScopes(names...)
}
