package auth

import (
	"crypto/sha256"
	"time"
)

// Actor is who changes something, and where the request came from.
type Actor struct {
	Client     ClientID // zero: the system itself, or somebody with direct access to the database
	Credential SecretID
	Name       string // such as "system" or the command that acted
	Source     string // network address, empty for the system
	Request    string // request id
	// Scope is what of the AdminAPI the token of Client holds, space-delimited. It means nothing while Client is zero.
	Scope string
}

// System reports whether the actor is the program itself, or somebody with direct access to the database: nothing is kept from those.
func (a Actor) System() bool { return a.Client == ClientID{} }

// AuditEvent records one change. It is written in the transaction of the change.
type AuditEvent struct {
	ID      EventID
	Number  uint64 // gap-free, from 1; set by the store
	At      time.Time
	Actor   Actor
	Action  string // such as "client.disable"
	Target  string // the text form of the id that was changed
	Changes string // JSON: what was before and after; never a credential
	// Chain is HMAC-SHA-256 over the Chain of the event before and everything above; set by the store.
	Chain [sha256.Size]byte
}

// AuditHead is how far the audit log has come, or a checkpoint up to which it was cut. Who keeps one can tell later whether anything
// up to it was changed, removed or reordered.
type AuditHead struct {
	Number uint64 // of the last event; 0: there is none
	Chain  [sha256.Size]byte
	// Seal is HMAC-SHA-256 over Number and Chain, so that a head that was not given out by a server is recognised.
	Seal [sha256.Size]byte
}

// AuditKeys are the keys of the audit chain, by version; the highest is used for new events. They are immutable.
type AuditKeys struct {
	current uint32
	keys    map[uint32][]byte
}

// Failure is a failed authentication of a client, or several of the same kind at nearly the same time.
type Failure struct {
	At      time.Time // of the last
	Client  ClientID  // zero: the client id that was sent names no client
	Reason  string    // such as "wrong_secret", "unknown_client", "disabled_client", "expired_secret", "wrong_method"
	Source  string    // network address
	Request string    // request id of the last
	Count   int64     // how many there were
}

// AuditQuery selects audit events. Zero fields select everything.
type AuditQuery struct {
	Actor  ClientID
	Target string // the whole target, or the id before its first slash
	Action string
	From   time.Time // inclusive
	Until  time.Time // exclusive
	// After is the number of the last event of the page before; 0 begins.
	After      uint64
	Descending bool
	Limit      int
}
