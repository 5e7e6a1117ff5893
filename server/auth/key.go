package auth

import "time"

// KeyState is where a signing key is in its life.
type KeyState string

// The states of a key. All but KeyRevoked follow from the clock: activation is a time in the row, not an event.
const (
	KeyNext    KeyState = "next"    // published, does not sign yet
	KeyCurrent KeyState = "current" // signs
	KeyRetired KeyState = "retired" // published as long as a token that it signed may live
	KeyRevoked KeyState = "revoked" // withdrawn: what it signed is refused
)

// Key is a signing key. The private part is sealed under the master key.
type Key struct {
	ID        KeyID
	Algorithm Algorithm
	Public    []byte // PKIX, DER
	Sealed    []byte // PKCS #8, sealed under the master key
	Created   time.Time
	ActiveAt  time.Time // from which it signs, until the next key of its algorithm becomes active
	RevokedAt time.Time // zero: not revoked
}

// SealedKey is a symmetric or store key that instances share, sealed under the master key.
type SealedKey struct {
	Purpose Purpose
	Version uint32 // from 1; the highest of a purpose is used for new work, all for checking old
	Sealed  []byte
	Created time.Time
}

// Purpose says what a SealedKey is for.
type Purpose string

// The purposes.
const (
	PurposeCheck     Purpose = "check"      // proves that an instance has the right master key
	PurposePepper    Purpose = "pepper"     // HMAC-SHA-256 of client secrets
	PurposeStoreMAC  Purpose = "store_mac"  // HMAC-SHA-256 of token-store records, among servers
	PurposeStoreSign Purpose = "store_sign" // Ed25519 signature of token-store records that services read directly
	PurposeAudit     Purpose = "audit"      // HMAC chain of the audit log
	PurposeNonce     Purpose = "nonce"      // nonces of DPoP proofs
)
