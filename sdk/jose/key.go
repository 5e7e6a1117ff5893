package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"github.com/countersign/countersign/sdk/strictjson"
)

// Key is a public key by which signatures are checked. It does not change.
type Key struct {
	id         string
	algorithms []Algorithm
	thumbprint string

	// One of them is there.
	ecdsa   *ecdsa.PublicKey
	rsa     *rsa.PublicKey
	ed25519 ed25519.PublicKey
}

// ParseKey reads a JWK (RFC 7517 §4). Its error is ErrKey, and ErrPrivate if there is more in it than a public key.
//
// It refuses: text that is not strict JSON; a use other than sig; key_ops without verify; an alg that is not for keys of this kind;
// numbers in base64url that are not canonical, nor of the very length that RFC 7518 §6 and RFC 8037 §2 prescribe; points that are not
// on their curve; RSA moduli that are even, or not of 2048 to 8192 bits; RSA exponents that are even, below 3, or above 2³¹−1.
func ParseKey(jwk []byte) (*Key, error) {
	var w written
	if err := strictjson.Object(jwk, w.member); err != nil {
		return nil, unusable(err)
	}
	return w.key()
}

// ID returns the key's kid, empty if it has none.
func (k *Key) ID() string { return k.id }

// PrivateMember tells whether the member of this name belongs to a private or secret JWK (RFC 7518 §6), which nobody but its owner is to see.
func PrivateMember(name string) bool {
	switch name {
	case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
		return true
	}
	return false
}

// Algorithms returns the algorithms that the key is for: the one that its alg names, else all that keys of its kind can do.
func (k *Key) Algorithms() []Algorithm { return slices.Clone(k.algorithms) }

// Allows tells whether the key is for this algorithm.
func (k *Key) Allows(a Algorithm) bool { return slices.Contains(k.algorithms, a) }

// Thumbprint returns the key's JWK thumbprint by SHA-256 (RFC 7638, RFC 8037 §2) in base64url.
func (k *Key) Thumbprint() string { return k.thumbprint }

// Equal tells whether other is the same key under the same id for the same algorithms.
func (k *Key) Equal(other *Key) bool {
	return k.id == other.id && k.thumbprint == other.thumbprint && slices.Equal(k.algorithms, other.algorithms)
}

// thumbprint hashes the members that make a key, which come in alphabetical order and need no escapes.
func thumbprint(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
