package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
)

// Verify checks the signature against k. Its error is ErrAlgorithm if k is not for the token's algorithm, or ErrSignature.
func (s *Signed) Verify(k *Key) error {
	if !k.Allows(s.Header.Algorithm) {
		return fmt.Errorf("%w: not one of the key's", ErrAlgorithm)
	}
	if !s.signedBy(k) {
		return ErrSignature
	}
	return nil
}

// signedBy checks the signature. The standard library refuses those by RSA and Ed25519 that have another length than theirs.
func (s *Signed) signedBy(k *Key) bool {
	if k.ed25519 != nil {
		return ed25519.Verify(k.ed25519, []byte(s.input), s.signature)
	}
	hash, sum := digest(s.Header.Algorithm, []byte(s.input))
	if k.ecdsa != nil {
		size := (k.ecdsa.Curve.Params().BitSize + 7) / 8
		return len(s.signature) == 2*size && verifyECDSA(k.ecdsa, sum, s.signature[:size], s.signature[size:])
	}
	if s.Header.Algorithm[0] == 'P' { // RFC 7518 §3.5: the salt is as long as the hash
		options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return rsa.VerifyPSS(k.rsa, hash, sum, s.signature, &options) == nil
	}
	return rsa.VerifyPKCS1v15(k.rsa, hash, sum, s.signature) == nil
}

// digest hashes what is signed. The names of RFC 7518 §3.1 end in the size of their SHA-2.
func digest(a Algorithm, input []byte) (crypto.Hash, []byte) {
	switch string(a[2:]) {
	case "384":
		sum := sha512.Sum384(input)
		return crypto.SHA384, sum[:]
	case "512":
		sum := sha512.Sum512(input)
		return crypto.SHA512, sum[:]
	}
	sum := sha256.Sum256(input)
	return crypto.SHA256, sum[:]
}

// verifyECDSA checks a signature that comes as two big-endian numbers (RFC 7518 §3.4). The standard library takes ASN.1 only, and
// sees to it that both numbers are above 0 and below the order of the curve.
func verifyECDSA(key *ecdsa.PublicKey, sum, r, s []byte) bool {
	const front = 3                    // tag and up to two bytes of length
	var space [front + 2*(2+1+66)]byte // enough for P-521
	text := appendInteger(appendInteger(space[:front], r), s)
	if size := length(text[front:]); size < 0x80 {
		text = text[1:]
		text[0], text[1] = sequence, size
	} else {
		text[0], text[1], text[2] = sequence, 0x81, size
	}
	return ecdsa.VerifyASN1(key, sum, text)
}

// Tags of X.690 §8.3 and §8.9.
const (
	integer  = 0x02
	sequence = 0x30
)

// appendInteger appends a number as an ASN.1 INTEGER.
func appendInteger(to, number []byte) []byte {
	for len(number) > 1 && number[0] == 0 {
		number = number[1:]
	}
	if number[0] < 0x80 {
		to = append(to, integer, length(number))
	} else {
		to = append(to, integer, length(number)+1, 0) // or it would be negative
	}
	return append(to, number...)
}

func length(text []byte) byte { return byte(len(text)) } //nolint:gosec // at most 138, for P-521
