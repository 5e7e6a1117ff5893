package sdk

import (
	"slices"
	"strings"
)

// Mode says what a route does while the verifier is cut off from the authorization server, and so cannot hear of revocations.
type Mode uint8

const (
	// Available goes on with what is known, up to the grace ([WithGrace]) and never past a token's expiry. It is the default.
	Available Mode = iota
	// Strict accepts a token only if it was not revoked when the bound ([WithBound]) ago began: for writes and administration.
	// While that cannot be told, it answers ErrUnavailable.
	Strict
)

// String returns "available" or "strict".
func (m Mode) String() string {
	if m == Strict {
		return "strict"
	}
	return "available"
}

// Policy is what a route asks of a token. The zero value asks for a valid one of any scope, in mode Available. Policies are values:
// they may be copied and shared, as long as nobody changes their slices.
type Policy struct {
	// Mode is the route's choice between Available and Strict.
	Mode Mode
	// AllOf are scopes that the token must have, every one.
	AllOf []string
	// AnyOf are scopes of which the token must have at least one; if empty, none.
	AnyOf []string
	// Clients are the ids of the clients that may call; nil: any. An empty list lets nobody call.
	Clients []string
	// Bound asks for a token that is bound to a key or certificate, which the caller has to have ([WithBoundTokensOnly]).
	Bound bool
}

// RequireScope returns a policy that asks for all these scopes.
func RequireScope(scopes ...string) Policy { return Policy{AllOf: scopes} }

// RequireAnyScope returns a policy that asks for one of these scopes.
func RequireAnyScope(scopes ...string) Policy { return Policy{AnyOf: scopes} }

// Strict returns p in mode Strict.
func (p Policy) Strict() Policy {
	p.Mode = Strict
	return p
}

// RequireBound returns p for bound tokens only.
func (p Policy) RequireBound() Policy {
	p.Bound = true
	return p
}

// From returns p for these clients only, named by their ids; without any it is for nobody.
func (p Policy) From(clients ...string) Policy {
	p.Clients = append([]string{}, clients...) // not nil: a list that came out empty lets nobody in
	return p
}

// allows tells whether i may call.
func (p Policy) allows(i *Identity) bool { return p.admits(i) && p.suffices(i) }

// admits tells whether the client of i is one that may call.
func (p Policy) admits(i *Identity) bool {
	return p.Clients == nil || slices.Contains(p.Clients, i.clientID)
}

// suffices tells whether the scopes of i are enough.
func (p Policy) suffices(i *Identity) bool {
	for _, scope := range p.AllOf {
		if !i.HasScope(scope) {
			return false
		}
	}
	return len(p.AnyOf) == 0 || slices.ContainsFunc(p.AnyOf, i.HasScope)
}

// refuse tells why i may not call, nil if it may. That the client is another one comes first: no scope would help it.
func (p Policy) refuse(i *Identity) error {
	switch {
	case !p.admits(i):
		return &VerifyError{Kind: ErrForbidden, Detail: "this client may not call here", Identity: i}
	case !p.suffices(i):
		return &VerifyError{Kind: ErrInsufficientScope, Detail: "the token lacks a scope that is needed here", Scope: p.scope(), Identity: i}
	}
	return nil
}

// scope names the scopes for a challenge (RFC 6750 §3): all that are needed, and those of which one is.
func (p Policy) scope() string {
	return strings.Join(slices.Concat(p.AllOf, p.AnyOf), " ")
}
