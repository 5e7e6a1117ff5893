package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// BucketLength is the span of expiry times that share a bucket, the first part of a TokenID.
const BucketLength = 15 * time.Minute

// MaxLifetime is the longest life a token can have, MinLifetime the shortest, DefaultLifetime what an API gets that names none.
const (
	MinLifetime     = time.Minute
	DefaultLifetime = time.Hour
	MaxLifetime     = 24 * time.Hour
)

// TokenID names a token, the `jti` of RFC 7519 §4.1.7: expiry bucket (4 bytes), issue time in seconds (4), random (8), all
// big-endian. It is the primary key of the token's row: rows that expire together lie together, and so are dropped together.
type TokenID [16]byte

// NewTokenID returns a fresh id.
func NewTokenID(issued, expires time.Time) (id TokenID) {
	binary.BigEndian.PutUint32(id[:4], Bucket(expires))
	binary.BigEndian.PutUint32(id[4:8], uint32(issued.Unix())) //nolint:gosec // until the year 2106
	_, _ = rand.Read(id[8:])                                   // never fails: crypto/rand
	return id
}

// Bucket returns the number of the expiry bucket that holds t.
func Bucket(t time.Time) uint32 {
	return uint32(t.Unix() / int64(BucketLength/time.Second)) //nolint:gosec // for some 100,000 years
}

// end returns when the id's bucket ends: the token has expired by then.
func (id TokenID) end() time.Time {
	return time.Unix((int64(binary.BigEndian.Uint32(id[:4]))+1)*int64(BucketLength/time.Second), 0)
}

// FirstTokenID returns the lowest id of a bucket: tokens below it expired before the bucket began.
func FirstTokenID(bucket uint32) (id TokenID) {
	binary.BigEndian.PutUint32(id[:4], bucket)
	return id
}

// ParseTokenID reads the text form, or returns fault.NotFound.
func ParseTokenID(text string) (TokenID, error) {
	id, err := parseID("", text)
	return TokenID(id), err
}

// String returns 22 base62 digits.
func (id TokenID) String() string { return idText("", rawID(id)) }

// MarshalText returns the text form.
func (id TokenID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *TokenID) UnmarshalText(text []byte) error {
	read, err := readID("", string(text))
	*id = TokenID(read)
	return err
}

// Token is an access token as its row records it. A Token is never changed once it is issued: what takes it back is a
// revocation in the change log.
type Token struct {
	ID         TokenID
	Client     ClientID
	Credential SecretID // with which it was asked for; zero if that was no secret
	API        APIID
	Scope      string    // space-delimited, RFC 6749 §3.3
	Issued     time.Time // whole seconds
	Expires    time.Time // whole seconds
	// Revision is the change-log sequence that the issuing instance had fully applied before it decided (claim `cs_rev`).
	Revision uint64
	// Proof is what Mint made of an opaque token's secret part; zero for a JWT, which its signature proves.
	Proof        [sha256.Size]byte
	Confirmation Confirmation // zero: a bearer token
	Lineage      Lineage
	// Uses are the proofs that were used up by asking for the token. They are recorded with its row and are no part of it.
	Uses []ProofUse
	// Key is the key that signed a JWT. It stands in the JWT's header, not in the row; zero for opaque tokens.
	Key KeyID
}

// TokenKey is SHA-256 over a whole presented token: what caches know a token by, since nobody can present it. Keying by a
// part of the token would let another token with that part be taken for it.
type TokenKey [sha256.Size]byte

// KeyOf returns the cache key of a presented token.
func KeyOf(presented string) TokenKey {
	var buffer [1 << 10]byte // does not leave the stack, and holds most tokens
	return sha256.Sum256(append(buffer[:0], presented...))
}

const (
	opaquePrefix = "cs_at_"
	// opaqueLength is the exact length of every opaque token.
	opaqueLength = len(opaquePrefix) + idDigits + keyDigits + crcDigits
)

// MaxTokenLength bounds a presented token in bytes. Ours are far shorter; what is longer is not one of them.
const MaxTokenLength = 8 << 10

// Mint makes the secret part of an opaque token, all else of which is set, and returns the token as its bearer sees it. It sets Proof.
func (t *Token) Mint() string {
	presented, proof := MintOpaque(t.ID)
	t.Proof = t.rowProof(proof)
	return presented
}

// rowProof is what the row of the token holds for a secret part, of which proof is the SHA-256: that itself or, if the token is bound or was
// made from another, a hash of it. So to versions that know of neither, beside which this one runs during an upgrade or a step back, such a
// token is unknown. They would tell that it is active, and nobody what has to be checked about it.
func (t *Token) rowProof(proof [sha256.Size]byte) [sha256.Size]byte {
	if !t.Confirmation.Bound() && t.Lineage.Empty() {
		return proof
	}
	return sha256.Sum256(append([]byte("countersign proof of a bound token\x00"), proof[:]...))
}

// MintOpaque makes the secret part of an opaque token for id. It returns the token as its bearer sees it and the proof for its row,
// if that is neither bound nor made from another.
func MintOpaque(id TokenID) (presented string, proof [sha256.Size]byte) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand
	return opaqueText(id, secret), sha256.Sum256(secret[:])
}

func opaqueText(id TokenID, secret [32]byte) string {
	buffer := newScratch()
	defer buffer.free()
	text := append(buffer[:0], opaquePrefix...)
	text = appendBase62(text, id[:], idDigits)
	text = appendBase62(text, secret[:], keyDigits)
	return string(appendChecksum(text, text[len(opaquePrefix):]))
}

// LooksOpaque reports whether a presented token claims to be an opaque one of ours.
func LooksOpaque(presented string) bool {
	return len(presented) >= len(opaquePrefix) && presented[:len(opaquePrefix)] == opaquePrefix
}

// ParseOpaque reads an opaque token without looking anything up. It returns fault.InvalidToken for what this server cannot have made.
func ParseOpaque(presented string) (id TokenID, proof [sha256.Size]byte, err error) {
	var secret [32]byte
	if len(presented) != opaqueLength || !LooksOpaque(presented) ||
		!checksumHolds(presented[len(opaquePrefix):]) ||
		!parseBase62(id[:], presented[len(opaquePrefix):][:idDigits]) ||
		!parseBase62(secret[:], presented[len(opaquePrefix)+idDigits:][:keyDigits]) {
		return TokenID{}, proof, fault.New(fault.InvalidToken, "the token is malformed")
	}
	return id, sha256.Sum256(secret[:]), nil
}

// Proves reports, in constant time, whether proof, the SHA-256 of a secret part, is what t's row is for.
func (t *Token) Proves(proof [sha256.Size]byte) bool {
	proof = t.rowProof(proof)
	return subtle.ConstantTimeCompare(t.Proof[:], proof[:]) == 1 && t.Proof != [sha256.Size]byte{}
}

// Live reports whether t has not expired at now. A token is refused at its expiry time itself (RFC 7519 §4.1.4).
func (t *Token) Live(now time.Time) bool { return now.Before(t.Expires) }
