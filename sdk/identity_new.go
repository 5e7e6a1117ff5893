package sdk

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Claims is what an [Identity] is made of, for [NewIdentity].
type Claims struct {
	Issuer   string
	ClientID string
	Subject  string // empty: the client
	TokenID  string
	Scopes   []string
	Audience []string
	IssuedAt time.Time
	Expires  time.Time
	Actors   []Actor // the current one first
	// Members are what [Identity.Claim] finds. A value that cannot be JSON makes NewIdentity panic.
	Members map[string]any
}

// NewIdentity returns an identity that says this. It is for tests of handlers and for those who verify tokens in another way: nothing
// is checked. Package sdktest has a shorter way for tests.
func NewIdentity(c Claims) *Identity {
	i := &Identity{
		issuer: c.Issuer, subject: c.Subject, clientID: c.ClientID, tokenID: c.TokenID,
		scopes: slices.Clone(c.Scopes), audience: slices.Clone(c.Audience), issued: c.IssuedAt, expires: c.Expires,
		actors: slices.Clone(c.Actors), claims: make(map[string]json.RawMessage, len(c.Members)),
	}
	if i.subject == "" {
		i.subject = i.clientID
	}
	for name, value := range c.Members {
		raw, err := json.Marshal(value)
		if err != nil {
			panic(fmt.Sprintf("sdk: NewIdentity: claim %s: %v", name, err))
		}
		i.claims[name] = raw
	}
	return i
}
