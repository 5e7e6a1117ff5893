package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// The bounds on RSA keys. Below, a key can be broken; above, a check takes too long.
const (
	minModulus = 2048 // bits
	maxModulus = 8192
	// The bounds on those that anybody brings along. Beyond them a check takes up to a hundred times as long.
	cheapModulus  = 4096
	cheapExponent = 65537
)

// elliptic reads a key of RFC 7518 §6.2.1.
func (w *written) elliptic(k *Key) error {
	var curve elliptic.Curve
	switch w.crv {
	case "P-256":
		curve, k.algorithms = elliptic.P256(), []Algorithm{ES256}
	case "P-384":
		curve, k.algorithms = elliptic.P384(), []Algorithm{ES384}
	case "P-521":
		curve, k.algorithms = elliptic.P521(), []Algorithm{ES512}
	default:
		return errors.New("crv is none of P-256, P-384, P-521")
	}
	size := (curve.Params().BitSize + 7) / 8
	x, err := octets("x", w.x, size)
	if err != nil {
		return err
	}
	y, err := octets("y", w.y, size)
	if err != nil {
		return err
	}
	k.ecdsa, err = ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y)) // SEC 1 §2.3.4
	if err != nil {
		return errors.New("the point is not on the curve")
	}
	k.thumbprint = thumbprint(`{"crv":"` + w.crv + `","kty":"EC","x":"` + w.x + `","y":"` + w.y + `"}`)
	return nil
}

// modular reads a key of RFC 7518 §6.3.1.
func (w *written) modular(k *Key) error {
	n, err := number("n", w.n)
	if err != nil {
		return err
	}
	e, err := number("e", w.e)
	if err != nil {
		return err
	}
	if n.BitLen() < minModulus || n.BitLen() > maxModulus || n.Bit(0) == 0 {
		return fmt.Errorf("n is not an odd number of %d to %d bits", minModulus, maxModulus)
	}
	if e.BitLen() < 2 || e.BitLen() > 31 || e.Bit(0) == 0 {
		return errors.New("e is not an odd number between 3 and 2³¹−1")
	}
	k.rsa = &rsa.PublicKey{N: n, E: int(e.Int64())}
	k.algorithms = []Algorithm{RS256, RS384, RS512, PS256, PS384, PS512}
	k.thumbprint = thumbprint(`{"e":"` + w.e + `","kty":"RSA","n":"` + w.n + `"}`)
	return nil
}

// cheap tells whether a check by the key costs about as much as one by any other.
func (k *Key) cheap() bool {
	return k.rsa == nil || k.rsa.N.BitLen() <= cheapModulus && k.rsa.E <= cheapExponent
}

// edwards reads a key of RFC 8037 §2.
func (w *written) edwards(k *Key) error {
	if w.crv != "Ed25519" {
		return errors.New("crv is not Ed25519")
	}
	x, err := octets("x", w.x, ed25519.PublicKeySize)
	if err != nil {
		return err
	}
	if !onEd25519(x) {
		return errors.New("the point is not on the curve")
	}
	k.ed25519 = x
	k.algorithms = []Algorithm{EdDSA, Ed25519}
	k.thumbprint = thumbprint(`{"crv":"Ed25519","kty":"OKP","x":"` + w.x + `"}`)
	return nil
}

// onEd25519 tells whether point decodes to a point by RFC 8032 §5.1.3. The standard library only finds out when it checks a
// signature, and then cannot say that the key is at fault.
func onEd25519(point []byte) bool {
	one := big.NewInt(1)
	p := new(big.Int).Lsh(one, 255)
	p.Sub(p, big.NewInt(19))
	y := slices.Clone(point)
	y[len(y)-1] &= 0x7f // the sign of x
	slices.Reverse(y)   // little-endian
	square := new(big.Int).SetBytes(y)
	if square.Cmp(p) >= 0 {
		return false
	}
	square.Mul(square, square).Mod(square, p)
	// x² = (y²−1)/(dy²+1), d = −121665/121666; times a square: (y²−1)·(dy²+1)·121666². x² is a square if that is one.
	above := new(big.Int).Sub(square, one)
	below := new(big.Int).Mul(square, big.NewInt(-121665))
	below.Add(below, big.NewInt(121666)).Mul(below, big.NewInt(121666))
	return big.Jacobi(above.Mul(above, below).Mod(above, p), p) >= 0
}

// octets decodes the member of this name, which is size bytes long.
func octets(member, text string, size int) ([]byte, error) {
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(text)))
	if got, ok := decode(raw, text); !ok || got != size {
		return nil, fmt.Errorf("%s is not canonical base64url of %d bytes", member, size)
	}
	return raw[:size], nil
}

// number decodes the member of this name, a Base64urlUInt of RFC 7518 §2: in as few bytes as possible.
func number(member, text string) (*big.Int, error) {
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(text)))
	size, ok := decode(raw, text)
	if !ok || size == 0 || raw[0] == 0 {
		return nil, fmt.Errorf("%s is not canonical base64url of a positive number without leading zeros", member)
	}
	return new(big.Int).SetBytes(raw[:size]), nil
}
