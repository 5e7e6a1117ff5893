package sdk

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Identity is who calls, as a verified token says. It does not change and is shared by all requests that bear the same token.
type Identity struct {
	issuer   string
	subject  string
	clientID string
	tokenID  string
	scopes   []string
	audience []string
	bound    *binding // nil: it is for whoever bears it
	issued   time.Time
	expires  time.Time
	actors   []Actor
	claims   map[string]json.RawMessage
}

// Actor is a party that acts for the subject, RFC 8693 §4.1.
type Actor struct {
	Issuer   string `json:"iss,omitempty"`
	Subject  string `json:"sub,omitempty"`
	ClientID string `json:"client_id,omitempty"`
}

// Issuer returns the identifier of the authorization server.
func (i *Identity) Issuer() string { return i.issuer }

// ClientID returns the client that the token was issued to.
func (i *Identity) ClientID() string { return i.clientID }

// Subject returns on whose behalf the client calls. By client credentials it is the client itself (RFC 9068 §2.2).
func (i *Identity) Subject() string { return i.subject }

// TokenID returns the token's jti, empty if the issuer gave it none. It is no secret.
func (i *Identity) TokenID() string { return i.tokenID }

// Scopes returns the token's scopes in the issuer's order.
func (i *Identity) Scopes() []string { return slices.Clone(i.scopes) }

// HasScope tells whether the token has this very scope.
func (i *Identity) HasScope(scope string) bool { return slices.Contains(i.scopes, scope) }

// Audience returns whom the token is for; the verifier's own audience is among them.
func (i *Identity) Audience() []string { return slices.Clone(i.audience) }

// IssuedAt returns when the token was issued, the zero time if the issuer does not say.
func (i *Identity) IssuedAt() time.Time { return i.issued }

// Expires returns when the token expires.
func (i *Identity) Expires() time.Time { return i.expires }

// Actors returns the chain of actors (RFC 8693 §4.1), the current one first. Only that one is to be considered in decisions.
func (i *Identity) Actors() []Actor { return slices.Clone(i.actors) }

// Bound tells whether the token is bound to a key or certificate (cnf), which the caller has shown to have.
func (i *Identity) Bound() bool { return i.bound != nil }

// Claim decodes the claim of this name, or the member of an introspection answer, into the value that to points to. It returns
// false if there is none.
func (i *Identity) Claim(name string, to any) (bool, error) {
	raw, ok := i.claims[name]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(raw, to)
}

// String names the client, the subject where it is another, and the token's id.
func (i *Identity) String() string {
	var b strings.Builder
	b.WriteString(i.clientID)
	if i.subject != i.clientID {
		b.WriteString(" for " + i.subject)
	}
	if i.tokenID != "" {
		b.WriteString(" (token " + i.tokenID + ")")
	}
	return b.String()
}

type identityKey struct{}

// NewContext returns a context that carries the identity, as the middleware does. Tests of handlers use it too.
func NewContext(ctx context.Context, i *Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, i)
}

// FromContext returns the identity of the caller, and false if nobody was verified.
func FromContext(ctx context.Context) (*Identity, bool) {
	i, ok := ctx.Value(identityKey{}).(*Identity)
	return i, ok
}
