package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const (
	typicalClaims = 1 << 10
	coordinate    = 32 // bytes of r or s, RFC 7518 §3.4
)

// Sign returns a signed access token (RFC 9068, compact JWS of RFC 7515 §7.1) and the key that signed it: the one of this
// algorithm that became active last. It returns fault.Unavailable if there is none that this instance can use, and
// fault.InvalidScope if the token would be longer than auth.MaxTokenLength: it could be neither verified nor taken back.
func (r *Ring) Sign(alg auth.Algorithm, c Claims) (token string, by auth.KeyID, err error) {
	key, err := r.signing(alg)
	if err != nil {
		return "", auth.KeyID{}, err
	}
	if c.Audience == "" || !plain(c.Audience) || !plain(c.Scope) {
		return "", auth.KeyID{}, fmt.Errorf("sign token %s: audience or scope holds what the domain does not allow", c.ID)
	}
	if !c.Lineage.Empty() && !c.signable() {
		return "", auth.KeyID{}, fmt.Errorf("sign token %s: it comes from what the domain does not allow", c.ID)
	}
	var buffer [typicalClaims]byte
	text, err := key.jws(key.header, r.appendClaims(buffer[:0], c))
	if err != nil {
		return "", auth.KeyID{}, err
	}
	if len(text) > auth.MaxTokenLength {
		return "", auth.KeyID{}, fault.New(fault.InvalidScope, "a token with so many scopes is longer than a token may be: ask for fewer").At("scope")
	}
	return string(text), key.id, nil
}

// sign returns the JWS signature of the message: RFC 7518 §3.3 to §3.5, RFC 8037 §3.1.
func (k *ringKey) sign(message []byte) ([]byte, error) {
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			return nil, err
		}
		raw := make([]byte, 2*coordinate)
		r.FillBytes(raw[:coordinate])
		s.FillBytes(raw[coordinate:])
		return raw, nil
	case *rsa.PrivateKey:
		digest := sha256.Sum256(message)
		if k.algorithm == auth.PS256 {
			return rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], saltOfHashLength())
		}
		return rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
	case ed25519.PrivateKey:
		return ed25519.Sign(private, message), nil
	}
	return nil, errors.New("unknown kind of key")
}

// saltOfHashLength is what RFC 7518 §3.5 asks for, of signer and verifier.
func saltOfHashLength() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
}
