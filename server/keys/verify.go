package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Verify returns the claims of a token that this server signed, or fault.InvalidToken. The header must be, byte for byte,
// the one of a key that is needed and not revoked, so that the token has no say in how it is verified; the claims must be
// what Sign writes. Expiry and revocation are for the caller to look at. It returns fault.Unavailable if the key is one
// that this instance could not open, and has ErrUnknownKey in the chain of fault.InvalidToken if another instance may have
// made the key a moment ago.
//
// An ES256 token has a second valid signature that anyone can compute: whatever remembers tokens must go by their `jti`.
func (r *Ring) Verify(presented string) (*Claims, error) {
	if len(presented) > auth.MaxTokenLength {
		return nil, errNotOurs()
	}
	head, rest, _ := strings.Cut(presented, ".")
	key := r.state.Load().byHeader[head]
	switch {
	case key == nil && looksOurs(head):
		return nil, fault.Wrap(fault.InvalidToken, notOurs, ErrUnknownKey)
	case key == nil || !key.needed(r.config.Now()):
		return nil, errNotOurs()
	}
	if !key.opened() {
		return nil, fault.New(fault.Unavailable, "the key that signed the token is not at hand")
	}
	body, tail, found := strings.Cut(rest, ".")
	signature, ok := decode(tail)
	if !found || !ok || !key.verify([]byte(presented[:len(head)+1+len(body)]), signature) {
		return nil, errNotOurs()
	}
	text, ok := decode(body)
	if !ok {
		return nil, errNotOurs()
	}
	claims, ok := r.parseClaims(string(text))
	if !ok {
		return nil, errNotOurs()
	}
	claims.Key = key.id
	return &claims, nil
}

// ErrUnknownKey says that a token is signed by a key that is not in the ring: one that is new, withdrawn, or made up.
var ErrUnknownKey = errors.New("the key is not known")

const notOurs = "the token is malformed or not signed by this server"

func errNotOurs() error { return fault.New(fault.InvalidToken, notOurs) }

// looksOurs reports whether a header is one that some key of this server could have.
func looksOurs(head string) bool {
	text, ok := decode(head)
	if !ok {
		return false
	}
	for _, alg := range auth.Algorithms() {
		before, after := headerParts(alg)
		if rest, ok := strings.CutPrefix(string(text), before); ok {
			kid, ok := strings.CutSuffix(rest, after)
			_, err := auth.ParseKeyID(kid)
			return ok && err == nil
		}
	}
	return false
}

// decode reads base64url in its one form: no padding, no spare bits, and none of the line breaks that the standard library
// reads over.
func decode(segment string) ([]byte, bool) {
	if strings.ContainsAny(segment, "\r\n") {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	return raw, err == nil
}

func (k *ringKey) verify(message, signature []byte) bool {
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		if len(signature) != 2*coordinate {
			return false
		}
		var r, s big.Int
		r.SetBytes(signature[:coordinate])
		s.SetBytes(signature[coordinate:])
		digest := sha256.Sum256(message)
		return ecdsa.Verify(public, digest[:], &r, &s) // refuses 0 and whatever is not below the order
	case *rsa.PublicKey:
		digest := sha256.Sum256(message)
		if k.algorithm == auth.PS256 {
			return rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, saltOfHashLength()) == nil
		}
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(public, message, signature)
	}
	return false
}
