package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
)

// FromPublic returns the key that a public key of the standard library is: *[ecdsa.PublicKey], *[rsa.PublicKey] or [ed25519.PublicKey]. It has no
// id. Its error is ErrKey: for what [ParseKey] would refuse, too.
func FromPublic(public crypto.PublicKey) (*Key, error) {
	jwk, err := PublicJWK(public)
	if err != nil {
		return nil, err
	}
	return ParseKey(jwk)
}

// PublicJWK writes a public key as a JWK with the required members alone, in the order and form of which [Key.Thumbprint] is the hash
// (RFC 7638 §3.2, RFC 8037 §2). Its error is ErrKey.
func PublicJWK(public crypto.PublicKey) ([]byte, error) {
	encode := base64.RawURLEncoding.EncodeToString
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return nil, unusable(err)
		}
		half := len(point) / 2
		return fmt.Appendf(nil, `{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`,
			key.Curve.Params().Name, encode(point[1:1+half]), encode(point[1+half:])), nil
	case *rsa.PublicKey:
		exponent := big.NewInt(int64(key.E))
		return fmt.Appendf(nil, `{"e":"%s","kty":"RSA","n":"%s"}`, encode(exponent.Bytes()), encode(key.N.Bytes())), nil
	case ed25519.PublicKey:
		return fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encode(key)), nil
	}
	return nil, unusable(fmt.Errorf("a public key of type %T", public))
}
