package wire

import (
	"encoding/json"
	"time"
)

// Event is a record of the audit log.
type Event struct {
	ID      string          `json:"event_id"`
	Number  uint64          `json:"number" doc:"gap-free, in the order of the changes"`
	At      time.Time       `json:"at"`
	Actor   Actor           `json:"actor"`
	Action  string          `json:"action" example:"client.disable"`
	Target  string          `json:"target"`
	Changes json.RawMessage `json:"changes,omitempty" doc:"what was before and after"`
	Chain   string          `json:"chain" doc:"HMAC over this event and the chain value of the one before, base64url"`
}

// Actor is who did it.
type Actor struct {
	Client  string `json:"client_id,omitempty" doc:"absent: the system itself, or somebody with direct access to the database"`
	Secret  string `json:"secret_id,omitempty"`
	Name    string `json:"name"`
	Source  string `json:"source,omitempty" doc:"network address"`
	Request string `json:"request_id,omitempty"`
}

// AuditHead is how far the audit log has come. Keep it outside of the database: it proves later that nothing up to it was changed,
// removed or reordered.
type AuditHead struct {
	Number uint64 `json:"number"`
	Chain  string `json:"chain" doc:"base64url"`
	Seal   string `json:"seal" doc:"base64url"`
}

// AuditVerification asks for the audit log to be checked.
type AuditVerification struct {
	Head *AuditHead `json:"head,omitempty" doc:"a head from earlier that must still hold"`
}

// AuditReport is what the check found.
type AuditReport struct {
	OK     bool          `json:"ok"`
	Events int64         `json:"events" doc:"how many were checked"`
	From   uint64        `json:"from" doc:"number of the first; events before it were removed by retention"`
	To     uint64        `json:"to"`
	Broken []AuditDefect `json:"broken,omitempty" doc:"what does not fit, at most 100"`
	Note   string        `json:"note,omitempty" doc:"what could not be checked, such as a head from before retention"`
}

// AuditDefect is a place where the chain does not hold.
type AuditDefect struct {
	Number uint64 `json:"number"`
	What   string `json:"what"`
}

// Failure is a failed authentication, or several alike.
type Failure struct {
	At      time.Time `json:"at" doc:"of the last"`
	Client  string    `json:"client_id,omitempty" doc:"absent: the client_id that was sent names no client"`
	Reason  string    `json:"reason" example:"wrong_secret"`
	Source  string    `json:"source" doc:"network address of the last"`
	Request string    `json:"request_id" doc:"of the last"`
	Count   int64     `json:"count"`
}

// Unused lists what nobody used for a number of days.
type Unused struct {
	Days      int             `json:"days"`
	Clients   []UnusedClient  `json:"clients"`
	Secrets   []UnusedSecret  `json:"secrets"`
	Grants    []UnusedGrant   `json:"grants" doc:"with scopes: only those are unused"`
	Expiring  []ExpiringEntry `json:"expiring_secrets" doc:"active secrets that expire within 14 days"`
	Truncated bool            `json:"truncated,omitempty" doc:"there is more than is shown"`
}

// UnusedClient is a client that did not authenticate.
type UnusedClient struct {
	Client   string     `json:"client_id"`
	Name     string     `json:"name"`
	LastUsed *time.Time `json:"last_used_at,omitempty" doc:"absent: never"`
}

// UnusedSecret is a secret that did not authenticate its client.
type UnusedSecret struct {
	Secret   string     `json:"secret_id"`
	Client   string     `json:"client_id"`
	Hint     string     `json:"hint,omitempty"`
	LastUsed *time.Time `json:"last_used_at,omitempty"`
}

// UnusedGrant is a grant under which no token was issued, or none with some of its scopes.
type UnusedGrant struct {
	Client   string     `json:"client_id"`
	API      string     `json:"api_id"`
	Scopes   []string   `json:"scopes,omitempty" doc:"the scopes that were not used, where others were"`
	LastUsed *time.Time `json:"last_used_at,omitempty"`
}

// ExpiringEntry is a secret that ends soon.
type ExpiringEntry struct {
	Secret  string    `json:"secret_id"`
	Client  string    `json:"client_id"`
	Name    string    `json:"name" doc:"of the client"`
	Expires time.Time `json:"expires_at"`
	Only    bool      `json:"only" doc:"the client has no other that lasts longer: it will stop working"`
}

// Graph tells who may call whom, and who did.
type Graph struct {
	Clients   []GraphClient `json:"clients"`
	APIs      []GraphAPI    `json:"apis"`
	Calls     []GraphCall   `json:"calls"`
	Truncated bool          `json:"truncated,omitempty"`
}

// GraphClient is a node.
type GraphClient struct {
	ID     string `json:"client_id"`
	Name   string `json:"name"`
	Status string `json:"status" enum:"active,disabled"`
}

// GraphAPI is a node.
type GraphAPI struct {
	ID         string   `json:"api_id"`
	Identifier string   `json:"identifier"`
	Name       string   `json:"name"`
	Servers    []string `json:"servers" doc:"client_id of those that serve it"`
}

// GraphCall is an edge: a grant.
type GraphCall struct {
	Client   string     `json:"client_id"`
	API      string     `json:"api_id"`
	Scopes   []string   `json:"scopes"`
	LastUsed *time.Time `json:"last_used_at,omitempty"`
	Tokens   int64      `json:"issued_tokens"`
}

// Explanation says whether a call would be allowed.
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Client  string   `json:"client_id,omitempty"`
	API     string   `json:"api_id,omitempty"`
	Scopes  []string `json:"scopes,omitempty" doc:"that a token would hold"`
	Grant   *Grant   `json:"grant,omitempty" doc:"the grant that allows it, or falls short"`
	Reasons []string `json:"reasons" doc:"why, or what is missing and how to mend it"`
}

// Problem is an error, RFC 9457.
type Problem struct {
	Type    string         `json:"type"`
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Detail  string         `json:"detail,omitempty"`
	Code    string         `json:"code"`
	Field   string         `json:"field,omitempty"`
	Request string         `json:"request_id"`
	Errors  []ProblemError `json:"errors,omitempty"`
}

// ProblemError is one thing that is wrong.
type ProblemError struct {
	Pointer string `json:"pointer" doc:"JSON pointer to the member at fault (RFC 6901), as a URI fragment"`
	Detail  string `json:"detail"`
}
