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
	typicalToken  = 3 << 9 // of four characters for three bytes of claims, header and signature beside them
	coordinate    = 32     // bytes of r or s, RFC 7518 §3.4
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
	token, err = key.jws(key.header, r.appendClaims(buffer[:0], c))
	if err != nil {
		return "", auth.KeyID{}, err
	}
	if len(token) > auth.MaxTokenLength {
		return "", auth.KeyID{}, fault.New(fault.InvalidScope, "a token with so many scopes is longer than a token may be: ask for fewer").At("scope")
	}
	return token, key.id, nil
}

// appendSignature appends the JWS signature of the message: RFC 7518 §3.3 to §3.5, RFC 8037 §3.1.
func (k *ringKey) appendSignature(dst, message []byte) ([]byte, error) {
	var signature []byte
	var err error
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(message)
		if signature, err = ecdsa.SignASN1(rand.Reader, private, digest[:]); err != nil {
			return nil, err
		}
		return appendFixed(dst, signature)
	case *rsa.PrivateKey:
		digest := sha256.Sum256(message)
		if k.algorithm == auth.PS256 {
			signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], saltOfHashLength())
		} else {
			signature, err = rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, message)
	default:
		err = errors.New("unknown kind of key")
	}
	return append(dst, signature...), err
}

// appendFixed appends r and s of an ES256 signature in 32 bytes each (RFC 7518 §3.4), as they are in the DER of a SEQUENCE of both (RFC 3279
// §2.2.3). To read them as big.Int by way of ecdsa.Sign would take memory for each.
func appendFixed(dst, der []byte) ([]byte, error) {
	const sequence, short = 0x30, 0x80 // a length below 128 is one byte
	if len(der) < 2 || der[0] != sequence || der[1] >= short || int(der[1]) != len(der)-2 {
		return nil, errSignatureForm
	}
	rest := der[2:]
	for range 2 {
		const integer = 0x02
		if len(rest) < 2 || rest[0] != integer || rest[1] >= short || int(rest[1]) > len(rest)-2 {
			return nil, errSignatureForm
		}
		n := rest[2 : 2+int(rest[1])]
		rest = rest[2+len(n):]
		switch {
		case len(n) == 0 || n[0] >= 0x80: // none, or negative
			return nil, errSignatureForm
		case len(n) > 1 && n[0] == 0 && n[1] < 0x80: // a zero that is not the sign's
			return nil, errSignatureForm
		case n[0] == 0:
			n = n[1:]
		}
		if len(n) > coordinate {
			return nil, errSignatureForm
		}
		var zeros [coordinate]byte
		dst = append(append(dst, zeros[len(n):]...), n...)
	}
	if len(rest) > 0 {
		return nil, errSignatureForm
	}
	return dst, nil
}

var errSignatureForm = errors.New("the signature is not the DER of two numbers of 256 bits")

// saltOfHashLength is what RFC 7518 §3.5 asks for, of signer and verifier.
func saltOfHashLength() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
}
