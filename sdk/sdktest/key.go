package sdktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
)

// Algorithm is a JWS algorithm, RFC 7518 §3.1 and RFC 8037 §3.1.
type Algorithm string

// The algorithms that an issuer signs with.
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	EdDSA Algorithm = "EdDSA"
)

// Key is a key pair that signs JWTs. It is safe for concurrent use.
type Key struct {
	id        string
	algorithm Algorithm
	private   crypto.Signer
}

// NewKey makes a key of this id; empty: a fresh one. No issuer knows it until it is given to [Issuer.PublishKey], so it is also what an
// attacker signs with. An unknown algorithm panics. RSA keys take some 100 ms to make.
func NewKey(algorithm Algorithm, id string) *Key {
	if id == "" {
		id = newID("key_")
	}
	k := &Key{id: id, algorithm: algorithm}
	var err error
	switch algorithm {
	case ES256:
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256, PS256:
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case EdDSA:
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		panic(fmt.Sprintf("sdktest: no algorithm %q", algorithm))
	}
	if err != nil {
		panic("sdktest: make a key: " + err.Error())
	}
	return k
}

// ID returns the key's kid.
func (k *Key) ID() string { return k.id }

// Algorithm returns what the key signs with.
func (k *Key) Algorithm() Algorithm { return k.algorithm }

// Public returns the public key: *[ecdsa.PublicKey], *[rsa.PublicKey] or [ed25519.PublicKey].
func (k *Key) Public() crypto.PublicKey { return k.private.Public() }

// Sign returns the JWS signature over input, RFC 7515 §5.1.
func (k *Key) Sign(input []byte) []byte {
	hash := sha256.Sum256(input)
	var signature []byte
	var err error
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, private, hash[:]); err == nil {
			signature = make([]byte, 64) // RFC 7518 §3.4: both numbers in full width
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
		}
	case *rsa.PrivateKey:
		if k.algorithm == PS256 {
			signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, hash[:],
				&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(nil, private, crypto.SHA256, hash[:])
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, input)
	}
	if err != nil {
		panic("sdktest: sign: " + err.Error())
	}
	return signature
}

// JWK returns the public key as the members of a JWK, RFC 7517 §4.
func (k *Key) JWK() map[string]any {
	jwk := map[string]any{"kid": k.id, "alg": string(k.algorithm), "use": "sig"}
	switch public := k.private.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic("sdktest: encode a key: " + err.Error())
		}
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", encode(point[1:33]), encode(point[33:])
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes())
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(public)
	}
	return jwk
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
