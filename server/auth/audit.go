package auth

import "time"

// Actor is who changes something, and where the request came from.
type Actor struct {
	Client     ClientID // zero: the system itself, or somebody with direct access to the database
	Credential SecretID
	Name       string // such as "system" or the command that acted
	Source     string // network address, empty for the system
	Request    string // request id
}

// AuditEvent records one change. It is written in the transaction of the change.
type AuditEvent struct {
	ID      EventID
	At      time.Time
	Actor   Actor
	Action  string // such as "client.disable"
	Target  string // the text form of the id that was changed
	Changes string // JSON: what was before and after; never a credential
}
