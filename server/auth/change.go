package auth

import "time"

// ChangeKind says what a change is about.
type ChangeKind uint8

// The kinds. The first group tells caches what to read again; the second takes tokens back. The numbers are stored.
const (
	ClientChanged    ChangeKind = 1 // the client, its secrets, its grants or what it may exchange
	APIChanged       ChangeKind = 2
	KeysChanged      ChangeKind = 3 // some signing key
	SealedKeyChanged ChangeKind = 4 // some sealed key
	IssuerChanged    ChangeKind = 5 // a trusted issuer

	RevokeToken      ChangeKind = 16 // one jti
	RevokeClient     ChangeKind = 17 // every token of a client
	RevokeGrant      ChangeKind = 18 // every token of a client for an API
	RevokeAPI        ChangeKind = 19 // every token for an API
	RevokeCredential ChangeKind = 20 // every token that was asked for with a credential
	RevokeKey        ChangeKind = 21 // every JWT that a key signed, whatever Revision it claims
	RevokeAll        ChangeKind = 22 // every token
)

// Change is an entry of the one log of everything that a cache or verifier must learn of. A revocation refuses every
// matching token whose Revision is below the entry's Sequence: no clock is compared. A RevokeKey refuses every matching token,
// since whoever has stolen a key writes the Revision himself.
type Change struct {
	Sequence uint64 // gap-free, from 1; set by the store
	Kind     ChangeKind
	// Subject is the id that the change is about: a client, API, token, secret or key; of a RevokeGrant the client. Zero where
	// the kind needs none.
	Subject [16]byte
	// Object is the API of a RevokeGrant.
	Object [16]byte
	// Audience is the identifier of the API of a RevokeAPI or RevokeGrant: verifiers know a token's API by nothing else, and
	// the API itself may be gone. At most 500 bytes of ASCII; empty for other kinds.
	Audience string
	At       time.Time
}

// MaxSkew is how far the clock of a server may be from the database's; one that is further off does not serve. So the clocks of
// two servers differ by at most twice that, but for the time until one that jumps is noticed.
const MaxSkew = time.Minute

// RevocationLife is how long a revocation must be remembered: no token issued before it lives longer. The margin covers
// clocks that differ.
const RevocationLife = MaxLifetime + revocationMargin

const revocationMargin = 10 * time.Minute

// NeededUntil returns when a revocation can match no living token any more. That of one token is needed as long as the token
// could live by its id, so that whoever asks for tokens and revokes them fills no memory for a day.
func (c *Change) NeededUntil() time.Time {
	until := c.At.Add(RevocationLife)
	if c.Kind != RevokeToken {
		return until
	}
	if end := TokenID(c.Subject).end().Add(revocationMargin); end.Before(until) {
		return end
	}
	return until
}

// Revokes reports whether the change takes tokens back.
func (c *Change) Revokes() bool { return c.Kind >= RevokeToken }

// Decisive reports whether the change can alter what may be issued. To take back a single token cannot: were such changes
// to count, nobody could be issued a token while many are taken back.
func (c *Change) Decisive() bool { return c.Kind != RevokeToken }

// Position is how far a change log has come.
type Position struct {
	// Generation is new whenever the log does not continue an earlier one, such as after a restore: sequences of different
	// generations cannot be compared.
	Generation uint64
	Sequence   uint64
	// Floor is the lowest sequence after which the log is complete. Older changes have been pruned.
	Floor uint64
}
