package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"
)

// Store keeps the domain. Implementations pass storetest. A failure of the storage itself is fault.Unavailable, never a
// verdict about what was asked.
type Store interface {
	// Update runs change in one transaction that commits if it returns nil. Updates are serialised against each other. change
	// may run again after a conflict, so it must not touch anything but its Tx.
	Update(ctx context.Context, change func(Tx) error) error
	// View runs read against one consistent snapshot. read may run again.
	View(ctx context.Context, read func(Tx) error) error
}

// Tx hands out the parts of a transaction. None of them may be used after the function that got the Tx returns, nor
// by two goroutines at once.
type Tx interface {
	Clients() Clients
	Secrets() Secrets
	APIs() APIs
	Grants() Grants
	Keys() Keys
	Delegation
	Journal
}

// Delegation hands out the parts of a transaction that tell who may act for others, and who vouches for them.
type Delegation interface {
	Exchanges() Exchanges
	Issuers() Issuers
}

// Journal hands out the parts of a transaction that tell what happened.
type Journal interface {
	Changes() Changes
	Audit() Audit
	Usage() Usage
	Replays() Replays
}

// Clients is the part of a Tx that holds clients.
type Clients interface {
	// Client returns the client with this id, or fault.NotFound.
	Client(ctx context.Context, id ClientID) (*Client, error)
	// ClientByName returns the client with this name, or fault.NotFound.
	ClientByName(ctx context.Context, name string) (*Client, error)
	// ListClients returns a page of the clients that q selects.
	ListClients(ctx context.Context, q ClientQuery) ([]*Client, error)
	// PutClient adds c if its Revision is 0, or replaces the stored one. It reports fault.Conflict if c.Revision is not the
	// stored one, or if another client has the name, and counts c.Revision up.
	PutClient(ctx context.Context, c *Client) error
	// DeleteClient removes the client with its secrets, its grants and its part in serving APIs, or returns fault.NotFound.
	DeleteClient(ctx context.Context, id ClientID) error
	// EachClient calls each for every client, in order of id, until it returns an error.
	EachClient(ctx context.Context, each func(*Client) error) error
}

// Secrets is the part of a Tx that holds client secrets.
type Secrets interface {
	// Secret returns the secret with this id, or fault.NotFound.
	Secret(ctx context.Context, id SecretID) (*Secret, error)
	// SecretByHash returns the secret with this keyed hash, or fault.NotFound.
	SecretByHash(ctx context.Context, hash [sha256.Size]byte) (*Secret, error)
	// SecretsBy returns the secrets that were made with a credential, in order of client and id.
	SecretsBy(ctx context.Context, by SecretID) ([]*Secret, error)
	// ClientSecrets returns a client's secrets in order of id.
	ClientSecrets(ctx context.Context, id ClientID) ([]*Secret, error)
	// PutSecret adds or replaces s as PutClient does.
	PutSecret(ctx context.Context, s *Secret) error
	// DeleteSecret removes the secret, or returns fault.NotFound.
	DeleteSecret(ctx context.Context, id SecretID) error
	// EachSecret calls each for every secret, in order of client and id, until it returns an error.
	EachSecret(ctx context.Context, each func(*Secret) error) error
}

// APIs is the part of a Tx that holds APIs.
type APIs interface {
	// API returns the API with this id, or fault.NotFound.
	API(ctx context.Context, id APIID) (*API, error)
	// APIByIdentifier returns the API with this audience, or fault.NotFound.
	APIByIdentifier(ctx context.Context, identifier string) (*API, error)
	// ListAPIs returns a page of the APIs that q selects.
	ListAPIs(ctx context.Context, q APIQuery) ([]*API, error)
	// PutAPI adds or replaces a, with its scopes and servers, as PutClient does. It reports fault.Conflict if another API has
	// the identifier.
	PutAPI(ctx context.Context, a *API) error
	// DeleteAPI removes the API with its grants, or returns fault.NotFound. Clients whose default it was have none afterwards.
	DeleteAPI(ctx context.Context, id APIID) error
	// EachAPI calls each for every API, in order of id, until it returns an error.
	EachAPI(ctx context.Context, each func(*API) error) error
}

// Grants is the part of a Tx that holds grants.
type Grants interface {
	// Grant returns the grant of an API to a client, or fault.NotFound.
	Grant(ctx context.Context, client ClientID, api APIID) (*Grant, error)
	// ClientGrants returns a client's grants in order of API.
	ClientGrants(ctx context.Context, id ClientID) ([]*Grant, error)
	// APIGrants returns the grants of an API in order of client.
	APIGrants(ctx context.Context, id APIID) ([]*Grant, error)
	// ListGrants returns a page of the grants that q selects.
	ListGrants(ctx context.Context, q GrantQuery) ([]*Grant, error)
	// PutGrant adds or replaces grants as PutClient does. Many that are new are added by few statements.
	PutGrant(ctx context.Context, grants ...*Grant) error
	// DeleteGrant removes the grant, or returns fault.NotFound.
	DeleteGrant(ctx context.Context, client ClientID, api APIID) error
	// EachGrant calls each for every grant, in order of client and API, until it returns an error.
	EachGrant(ctx context.Context, each func(*Grant) error) error
}

// Exchanges is the part of a Tx that holds what may be exchanged for what.
type Exchanges interface {
	// Exchange returns a client's grant to exchange tokens for one API for those for another, or fault.NotFound.
	Exchange(ctx context.Context, client ClientID, source, target APIID) (*ExchangeGrant, error)
	// ClientExchanges returns a client's grants in order of source and target.
	ClientExchanges(ctx context.Context, id ClientID) ([]*ExchangeGrant, error)
	// PutExchange adds or replaces g as PutClient does.
	PutExchange(ctx context.Context, g *ExchangeGrant) error
	// DeleteExchange removes the grant, or returns fault.NotFound.
	DeleteExchange(ctx context.Context, client ClientID, source, target APIID) error
	// EachExchange calls each for every grant, in order of client, source and target, until it returns an error.
	EachExchange(ctx context.Context, each func(*ExchangeGrant) error) error
}

// Issuers is the part of a Tx that holds trusted issuers. They are few.
type Issuers interface {
	// TrustedIssuer returns the issuer with this id, or fault.NotFound.
	TrustedIssuer(ctx context.Context, id TrustedIssuerID) (*TrustedIssuer, error)
	// TrustedIssuers returns every issuer in order of id.
	TrustedIssuers(ctx context.Context) ([]*TrustedIssuer, error)
	// PutTrustedIssuer adds or replaces i as PutClient does. It reports fault.Conflict if another issuer has the name or the identifier.
	PutTrustedIssuer(ctx context.Context, i *TrustedIssuer) error
	// DeleteTrustedIssuer removes the issuer, or returns fault.NotFound.
	DeleteTrustedIssuer(ctx context.Context, id TrustedIssuerID) error
}

// Keys is the part of a Tx that holds signing keys and sealed keys.
type Keys interface {
	// SigningKeys returns every signing key in order of id.
	SigningKeys(ctx context.Context) ([]*Key, error)
	// PutSigningKey adds or replaces k.
	PutSigningKey(ctx context.Context, k *Key) error
	// DeleteSigningKey removes a key that no living token can need, or returns fault.NotFound.
	DeleteSigningKey(ctx context.Context, id KeyID) error
	// SealedKeys returns every sealed key in order of purpose and version.
	SealedKeys(ctx context.Context) ([]*SealedKey, error)
	// PutSealedKey adds or replaces k.
	PutSealedKey(ctx context.Context, k *SealedKey) error
}

// Changes is the part of a Tx that holds the change log.
type Changes interface {
	// Position returns how far the log has come.
	Position(ctx context.Context) (Position, error)
	// ChangesAfter returns at most limit changes whose sequence is above after, in order.
	ChangesAfter(ctx context.Context, after uint64, limit int) ([]Change, error)
	// Append gives each change the next sequence and writes it.
	Append(ctx context.Context, changes ...Change) error
	// Begin begins a new generation, which is empty, with a sequence far above any that was given out in the one before, whatever
	// of that was lost: those who follow the log notice, and a RevokeAll that is appended next refuses every token there is.
	Begin(ctx context.Context) error
}

// Audit is the part of a Tx that holds the audit log.
type Audit interface {
	// Record chains the events to those before and writes them. Number and Chain are set by it.
	Record(ctx context.Context, events ...AuditEvent) error
	// Event returns the event with this id, or fault.NotFound.
	Event(ctx context.Context, id EventID) (*AuditEvent, error)
	// ListEvents returns a page of the events that q selects, in order of Number.
	ListEvents(ctx context.Context, q AuditQuery) ([]*AuditEvent, error)
	// AuditHead returns how far the log has come.
	AuditHead(ctx context.Context) (AuditHead, error)
	// AuditFloor returns the checkpoint up to which events were removed; Number is 0 if none were.
	AuditFloor(ctx context.Context) (AuditHead, error)
	// ListFailures returns the newest failed authentications, of one client or, if client is nil, of all.
	ListFailures(ctx context.Context, client *ClientID, limit int) ([]*Failure, error)
}

// Usage is the part of a Tx that tells what was used and when. It is written by UsageLog, some time after the fact.
type Usage interface {
	// SecretUses returns the uses of a client's secrets. A secret that was never used is not among them.
	SecretUses(ctx context.Context, client ClientID) ([]SecretUse, error)
	// ClientUse returns when one of a client's credentials was last used; zero: never.
	ClientUse(ctx context.Context, id ClientID) (time.Time, error)
	// GrantUses returns the uses of a client's grants, or if client is zero of all grants, some by some in order of client, API and
	// scope, until each returns an error.
	GrantUses(ctx context.Context, client ClientID, each func(GrantUse) error) error
	// EachSecretUse calls each for the use of every secret, in order of client and secret.
	EachSecretUse(ctx context.Context, each func(ClientID, SecretUse) error) error
}

// UsageLog takes down what was used. It is apart from Store since it takes no part in the order of changes.
type UsageLog interface {
	// RecordUses adds uses to what is there already: counts are added, times are the latest.
	RecordUses(ctx context.Context, secrets []ClientSecretUse, grants []GrantUse) error
	// RecordFailures adds failed authentications. No more than a bound for each client and in all are kept: the newest.
	RecordFailures(ctx context.Context, failures []Failure) error
}

// Replays is the part of a Tx that remembers the answers to calls which may be sent twice.
type Replays interface {
	// Replay returns what was remembered under the key, or fault.NotFound.
	Replay(ctx context.Context, key [sha256.Size]byte) (*Replay, error)
	// PutReplay remembers r.
	PutReplay(ctx context.Context, r *Replay) error
}

// Revocation is a token or set of tokens to take back, with the record of who did it.
type Revocation struct {
	Change Change
	Event  AuditEvent
}

// Ledger holds the row of every token issued. It is apart from Store since its writes come in batches, of which no
// domain function knows.
type Ledger interface {
	// InsertTokens writes all tokens or none. It first reads, without a lock, which sequence the newest decisive change has. If that
	// is above the Revision of any of them, it returns a *StaleError. It returns fault.Unavailable if a Revision is above the log's
	// sequence: the log has gone back, and what it will take back would not reach such a token.
	// retry says that an earlier call with these tokens ended with an unknown outcome: rows that exist and are equal then count as written.
	// Proofs that tokens have used up are recorded in the same transaction. Tokens with one that was used before are left out; the others are
	// written, and a *ReplayError names those.
	InsertTokens(ctx context.Context, tokens []*Token, retry bool) error
	// UseProofs records proofs that got no token, all or none. It returns a *ReplayError if one of them was used before.
	UseProofs(ctx context.Context, uses []ProofUse) error
	// Token returns the token with this id, or fault.NotFound. Key is not set.
	Token(ctx context.Context, id TokenID) (*Token, error)
	// ClientTokens returns at most limit tokens of a client, in order of id, whose id is above after.
	ClientTokens(ctx context.Context, client ClientID, after TokenID, limit int) ([]*Token, error)
	// EachToken calls each for the tokens whose id is above after, in order of id, until it returns an error.
	EachToken(ctx context.Context, after TokenID, each func(*Token) error) error
	// Revoke writes all revocations and their audit events in one transaction and returns the sequence of the last. Those whose
	// event is recorded already are left out, so that a call of unknown outcome can be repeated; if none is left it returns the
	// newest sequence.
	Revoke(ctx context.Context, revocations []Revocation) (uint64, error)
	// Maintain makes room for tokens to come, removes what expired before now, cuts the change log, and cuts the audit log at a sealed
	// checkpoint before what is older than keepAudit. Any number of instances may
	// call it at any time: those that do not hold the database's lease for it do nothing. No statement runs longer than 100 ms.
	Maintain(ctx context.Context, now time.Time, keepAudit time.Duration) (Maintenance, error)
}

// Maintenance is what a call of Ledger.Maintain found and did.
type Maintenance struct {
	EventsRemoved  int64         // of the audit log
	Held           bool          // whether this instance holds the lease
	Headroom       time.Duration // how far ahead there is room for tokens, negative if there is none; 0 if the store needs none made
	TokensRemoved  int64         // rows, or -1 where whole partitions were dropped uncounted
	ChangesRemoved int64
}

// StaleError is the answer to a batch that was decided from a state that is not the newest.
type StaleError struct {
	Sequence uint64 // of the newest decisive change
}

// Error implements error.
func (e *StaleError) Error() string { return "the change log is ahead of the decision" }

// ReplayError says that proofs were used before.
type ReplayError struct{ Proofs []ReplayedProof }

// ReplayedProof is a proof that was used before, and the token that was asked for with it and not written.
type ReplayedProof struct {
	Token TokenID // zero: none was asked for
	Key   [sha256.Size]byte
}

// Has reports whether the proof was used before.
func (e *ReplayError) Has(key [sha256.Size]byte) bool {
	return slices.ContainsFunc(e.Proofs, func(p ReplayedProof) bool { return p.Key == key })
}

// Of returns what is known of the proofs of one token, nil if none of them was used before.
func (e *ReplayError) Of(id TokenID) *ReplayError {
	var of []ReplayedProof
	for _, p := range e.Proofs {
		if p.Token == id {
			of = append(of, p)
		}
	}
	if of == nil {
		return nil
	}
	return &ReplayError{of}
}

// Error implements error.
func (e *ReplayError) Error() string { return "a proof was used a second time" }

// ErrOutcomeUnknown is in the chain of an error after which nobody knows whether the transaction was committed: the
// connection broke, or time ran out, while the commit was under way.
var ErrOutcomeUnknown = errors.New("whether the transaction was committed is unknown")
