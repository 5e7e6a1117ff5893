// Package jose makes signed tokens in compact form (JWS, RFC 7515), and checks them against public keys (JWK, RFC 7517), by asymmetric
// algorithms of RFC 7518, RFC 8037 and RFC 9864 only. It reads strictly: a token or key that can be read in two ways is refused.
//
// What a token says about where its key is to be had (jku, x5u, jwk, x5c) is passed over. Keys come from the issuer, and each says for
// which algorithms it is (RFC 8725 §3.1): a token only picks one that its key allows. [ParseWithKey] is the one exception.
//
// An ECDSA signature (r, n−s) is as good as (r, s), so a token has more than one valid text. A list of refused tokens goes by their
// jti, never by the text or its hash.
package jose

import "errors"

var (
	// ErrMalformed means that a token is no strict compact JWS, or asks for what is not supported. The error holds no part of it.
	ErrMalformed = errors.New("malformed token")
	// ErrAlgorithm means that the token's algorithm is not known here, or not one that the key is for.
	ErrAlgorithm = errors.New("algorithm not allowed")
	// ErrSignature means that the signature is not by this key over this token.
	ErrSignature = errors.New("signature does not verify")
	// ErrKey means that a JWK is malformed, weak, private, or not for signatures that can be checked here.
	ErrKey = errors.New("unusable key")
	// ErrKeySet means that a text is no JWK set, or beyond the bounds.
	ErrKeySet = errors.New("malformed key set")
)

// Algorithm is a signature algorithm by its registered name, which is compared exactly.
type Algorithm string

// The algorithms. Neither none nor one with a shared secret is among them.
const (
	ES256   Algorithm = "ES256"
	ES384   Algorithm = "ES384"
	ES512   Algorithm = "ES512"
	RS256   Algorithm = "RS256"
	RS384   Algorithm = "RS384"
	RS512   Algorithm = "RS512"
	PS256   Algorithm = "PS256"
	PS384   Algorithm = "PS384"
	PS512   Algorithm = "PS512"
	EdDSA   Algorithm = "EdDSA"   // with Ed25519 keys only
	Ed25519 Algorithm = "Ed25519" // RFC 9864's name for the same
)

// Algorithms returns all of them.
func Algorithms() []Algorithm {
	return []Algorithm{ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512, EdDSA, Ed25519}
}

// algorithm returns the algorithm of this name, and false if there is none.
func algorithm(name string) (Algorithm, bool) {
	switch known := Algorithm(name); known {
	case ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512, EdDSA, Ed25519:
		return known, true
	}
	return "", false
}
