package proof

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/countersign/countersign/sdk/jose"
)

const redacted = "[redacted]"

// maxKeyID is how many bytes a kid may have.
const maxKeyID = 256

// Key is a private key that signs client assertions and DPoP proofs. It does not change, is safe for concurrent use if its signer is,
// and however it is printed, logged or encoded, what comes out is [redacted].
type Key struct {
	signer    func() crypto.Signer // inside a function nothing that prints the fields of a struct finds it
	public    *jose.Key
	algorithm jose.Algorithm
	id        string
	jwk       string // of the public key, its required members alone
}

// KeyOptions says of a key what it does not say itself. The zero value is sensible.
type KeyOptions struct {
	// Algorithm is what the key signs with: [jose.ES256], [jose.RS256], [jose.PS256] or [jose.EdDSA]. Empty: what the JWK says, else the
	// only one for the key, PS256 for RSA.
	Algorithm jose.Algorithm
	// ID is the key's kid, at most 256 bytes. Empty: the JWK's, else the key's thumbprint (RFC 7638).
	ID string
}

// NewKey returns the key that signer has, of which nothing but Public and Sign is used: so it may lie in a security module or a key management
// service. It is P-256, Ed25519, or RSA of 2048 to 8192 bits; an error says what it is instead.
func NewKey(signer crypto.Signer, o KeyOptions) (*Key, error) {
	if signer == nil {
		return nil, errors.New("there is no key")
	}
	jwk, err := jose.PublicJWK(signer.Public())
	if err != nil {
		return nil, err
	}
	public, err := jose.ParseKey(jwk)
	if err != nil {
		return nil, err
	}
	k := &Key{signer: func() crypto.Signer { return signer }, public: public, algorithm: o.Algorithm, id: o.ID, jwk: string(jwk)}
	if k.algorithm == "" {
		k.algorithm = usual(public)
	}
	if k.id == "" {
		k.id = public.Thumbprint()
	}
	switch {
	case !slices.Contains(Algorithms(), k.algorithm) || !public.Allows(k.algorithm):
		return nil, fmt.Errorf("%w: the key is not for one of %v", jose.ErrAlgorithm, Algorithms())
	case len(k.id) > maxKeyID:
		return nil, fmt.Errorf("the key's kid is longer than %d bytes", maxKeyID)
	}
	return k, nil
}

// GenerateKey makes a key for ES256 or EdDSA, which are made at once. It cannot be had out of the process.
func GenerateKey(a jose.Algorithm) (*Key, error) {
	switch a { //nolint:exhaustive // the rest is refused
	case jose.ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		return NewKey(key, KeyOptions{})
	case jose.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		return NewKey(key, KeyOptions{})
	}
	return nil, fmt.Errorf("%w: keys are made for ES256 and EdDSA", jose.ErrAlgorithm)
}

// Algorithms are those of assertions and proofs, which clients and servers of ours have in common.
func Algorithms() []jose.Algorithm {
	return []jose.Algorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}
}

// usual is the algorithm of a key of which nothing is said.
func usual(public *jose.Key) jose.Algorithm {
	for _, a := range []jose.Algorithm{jose.ES256, jose.PS256, jose.EdDSA} {
		if public.Allows(a) {
			return a
		}
	}
	return ""
}

// ID returns the key's kid.
func (k *Key) ID() string { return k.id }

// Algorithm returns what the key signs with.
func (k *Key) Algorithm() jose.Algorithm { return k.algorithm }

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.signer().Public() }

// Thumbprint returns the public key's JWK thumbprint by SHA-256 (RFC 7638), the jkt of tokens that are bound to the key (RFC 9449 §6.1).
func (k *Key) Thumbprint() string { return k.public.Thumbprint() }

// PublicJWK returns the public key as a JWK with kid, alg and use, as clients are registered with it.
func (k *Key) PublicJWK() []byte {
	text := append([]byte(k.jwk[:len(k.jwk)-1]), `,"use":"sig","alg":`...)
	text = append(appendText(text, string(k.algorithm)), `,"kid":`...)
	return append(appendText(text, k.id), '}')
}

// sign returns a token of this header and payload.
func (k *Key) sign(header, payload []byte) (string, error) {
	return k.public.Sign(k.signer(), k.algorithm, header, payload)
}

// Format implements fmt.Formatter for all verbs.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// appendText appends a JSON string.
func appendText(to []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // strings can be encoded
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}
