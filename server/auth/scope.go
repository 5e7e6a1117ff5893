package auth

import (
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/fault"
)

// Scopes is a set of scope tokens: sorted, without repetition.
type Scopes []string

// MaxScopeLength bounds one scope token in bytes, MaxScopes the number of scopes of an API.
const (
	MaxScopeLength = 128
	MaxScopes      = 256
)

// ParseScopes reads a `scope` value as RFC 6749 §3.3 writes it. Order and repetition carry no meaning. It returns
// fault.InvalidScope for a byte that the grammar does not allow.
func ParseScopes(text string) (Scopes, error) {
	var set Scopes
	for token := range strings.SplitSeq(text, " ") {
		if token == "" {
			continue
		}
		if !validScope(token) {
			return nil, fault.New(fault.InvalidScope, "a scope is made of printable ASCII without space, quote or backslash").At("scope")
		}
		set = append(set, token)
	}
	return NewScopes(set...), nil
}

// NewScopes returns the set of these tokens, which are not checked.
func NewScopes(tokens ...string) Scopes {
	set := Scopes(slices.Clone(tokens))
	slices.Sort(set)
	return slices.Compact(set)
}

// validScope is RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
func validScope(token string) bool {
	if token == "" || len(token) > MaxScopeLength {
		return false
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return true
}

// String joins the set as a `scope` value.
func (s Scopes) String() string { return strings.Join(s, " ") }

// Has reports whether the set holds token.
func (s Scopes) Has(token string) bool {
	_, found := slices.BinarySearch(s, token)
	return found
}

// Contains reports whether every token of other is in the set.
func (s Scopes) Contains(other Scopes) bool {
	for _, token := range other {
		if !s.Has(token) {
			return false
		}
	}
	return true
}

// pick returns the tokens of asked as s has them, and whether it has all. They replace those of asked, which are a part of the request: a
// token that is remembered would keep all of its body.
func (s Scopes) pick(asked Scopes) (Scopes, bool) {
	for i, token := range asked {
		at, found := slices.BinarySearch(s, token)
		if !found {
			return nil, false
		}
		asked[i] = s[at]
	}
	return asked, true
}
