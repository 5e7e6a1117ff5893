package auth

import (
	"context"
	"time"
)

// Directory is everything that deciding about tokens needs to know, in memory and kept current by the change log. What it
// returns is shared and must not be changed. Its methods may be called by any number of goroutines.
type Directory interface {
	Follower
	Registered
	// Sequence returns the change-log sequence that is fully applied. Read it before anything that it is to vouch for.
	Sequence() uint64
	// Age returns how long ago the last successful read of the change log began, on a monotonic clock.
	Age() time.Duration
	// Denied reports whether a revocation refuses the token, or one that it was made from.
	Denied(t *Token) bool
}

// Registered is what administrators registered.
type Registered interface {
	// Client returns what is known of a client, or nil.
	Client(id ClientID) *ClientRecord
	// API returns the API with this id, or nil.
	API(id APIID) *API
	// APIByIdentifier returns the API with this audience, or nil.
	APIByIdentifier(identifier string) *API
	// TrustedIssuer returns the trusted issuer with this id, or nil.
	TrustedIssuer(id TrustedIssuerID) *TrustedIssuer
}

// Follower keeps up with the change log.
type Follower interface {
	// CatchUp reads the change log now, unless that was done or tried a moment ago: calls beyond a rate return at once. Use
	// it for what may have been created a moment ago on another instance.
	CatchUp(ctx context.Context) error
	// Refresh returns once everything that was committed before it was called is applied, or fault.Unavailable. No rate bounds it, but
	// all who call while a read is under way share the next one.
	Refresh(ctx context.Context) error
	// Reach reads the change log until sequence is applied, or returns fault.Unavailable.
	Reach(ctx context.Context, sequence uint64) error
}

// ClientRecord is a client with all that hangs on it.
type ClientRecord struct {
	Client  *Client
	Secrets []*Secret
	Grants  map[APIID]*Grant
	// Exchanges are what the client may exchange tokens for.
	Exchanges []*ExchangeGrant
	Serves    []APIID // APIs whose tokens the client may introspect
}
