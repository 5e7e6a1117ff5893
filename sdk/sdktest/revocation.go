package sdktest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Entry is a revocation as the feed has it, docs/revocation-feed.md.
type Entry struct {
	Sequence   uint64 `json:"seq"` // given by the issuer
	Kind       string `json:"kind"`
	TokenID    string `json:"jti,omitempty"`
	ClientID   string `json:"client_id,omitempty"`
	APIID      string `json:"api_id,omitempty"`
	Audience   string `json:"aud,omitempty"`
	Credential string `json:"cs_sec,omitempty"`
	KeyID      string `json:"kid,omitempty"`
	Expires    int64  `json:"exp"` // seconds since 1970; 0: a day from now
}

// changes is the log of revocations.
type changes struct {
	generation uint64
	sequence   uint64
	floor      uint64 // cursors below it get the snapshot
	lag        uint64
	age        time.Duration
	entries    []Entry
}

const (
	longestLife = 24 * time.Hour
	// generationGap is how far a new generation's sequence lies above that of the old one.
	generationGap = 1 << 32
)

func newGeneration() uint64 { return rand.Uint64()>>1 | 1 } //nolint:gosec // a name

// refuses tells whether the entry takes back the token.
func (e Entry) refuses(m *minted) bool {
	switch e.Kind {
	case "key":
		return m.key == e.KeyID
	case "token":
		return e.Sequence > m.revision && m.id == e.TokenID
	case "client":
		return e.Sequence > m.revision && m.client == e.ClientID
	case "grant":
		return e.Sequence > m.revision && m.client == e.ClientID && slices.Contains(m.audience, e.Audience)
	case "api":
		return e.Sequence > m.revision && slices.Contains(m.audience, e.Audience)
	case "credential":
		return e.Sequence > m.revision && m.secret == e.Credential
	case "all":
		return e.Sequence > m.revision
	}
	return false
}

// Publish appends the entry to the feed. It is for what the methods below cannot make, such as an unknown kind.
func (i *Issuer) Publish(e Entry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.log.sequence++
	e.Sequence = i.log.sequence
	e.Expires = cmp.Or(e.Expires, time.Now().Add(longestLife).Unix())
	i.log.entries = append(i.log.entries, e)
	i.stir()
}

// Revoke takes back this token, by its text. One that the issuer does not know is left alone.
func (i *Issuer) Revoke(token string) {
	i.mu.Lock()
	m := i.tokens[token]
	i.mu.Unlock()
	if m != nil {
		i.Publish(Entry{Kind: "token", TokenID: m.id, Expires: m.expires.Add(time.Minute).Unix()})
	}
}

// RevokeToken takes back the token with this jti.
func (i *Issuer) RevokeToken(id string) { i.Publish(Entry{Kind: "token", TokenID: id}) }

// RevokeClient takes back every token of the client.
func (i *Issuer) RevokeClient(id string) { i.Publish(Entry{Kind: "client", ClientID: id}) }

// RevokeGrant takes back every token of the client for the audience.
func (i *Issuer) RevokeGrant(clientID, audience string) {
	i.Publish(Entry{Kind: "grant", ClientID: clientID, APIID: APIID(audience), Audience: audience})
}

// RevokeAPI takes back every token for the audience.
func (i *Issuer) RevokeAPI(audience string) {
	i.Publish(Entry{Kind: "api", APIID: APIID(audience), Audience: audience})
}

// RevokeCredential takes back every token that was asked for with the credential; see [Issuer.Credential].
func (i *Issuer) RevokeCredential(id string) { i.Publish(Entry{Kind: "credential", Credential: id}) }

// RevokeKey takes back every token that the key signed, now and in future. The key stays in the key set until [Issuer.WithdrawKey].
func (i *Issuer) RevokeKey(id string) { i.Publish(Entry{Kind: "key", KeyID: id}) }

// RevokeAll takes back every token there is.
func (i *Issuer) RevokeAll() { i.Publish(Entry{Kind: "all"}) }

// NewGeneration has the feed begin anew, as after a restore of the database: nothing is remembered but one entry that takes back every
// token issued before.
func (i *Issuer) NewGeneration() {
	i.mu.Lock()
	i.log.generation = newGeneration()
	i.log.sequence += generationGap
	i.log.floor = i.log.sequence
	i.log.entries = nil
	i.mu.Unlock()
	i.RevokeAll()
}

// Skip moves the feed's sequence on by n without an entry: the log holds other changes as well.
func (i *Issuer) Skip(n uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.log.sequence += n
	i.stir()
}

// Forget has the feed answer every cursor that it has given out so far with the snapshot.
func (i *Issuer) Forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.log.sequence++
	i.log.floor = i.log.sequence
}

// Lag has the feed answer as an instance that does not yet know the last n changes. 0 ends it.
func (i *Issuer) Lag(n uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.log.lag = n
	i.stir()
}

// Age sets how old the feed says that its answers are (age_ms). It is 0 at first.
func (i *Issuer) Age(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.log.age = d
}

// Sequence returns how far the log has come.
func (i *Issuer) Sequence() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log.sequence
}

// Cursor returns the feed's cursor, GENERATION.SEQ.
func (i *Issuer) Cursor() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return cursor{i.log.generation, i.log.sequence}.String()
}

// APIID returns the id that the issuer gives to the API of this identifier.
func APIID(audience string) string { return idOf("api_", audience) }

// cursor is how far a reader of the feed has come.
type cursor struct{ generation, sequence uint64 }

func (c cursor) String() string {
	return strconv.FormatUint(c.generation, 10) + "." + strconv.FormatUint(c.sequence, 10)
}
