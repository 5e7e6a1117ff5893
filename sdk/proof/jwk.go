package proof

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/strictjson"
)

// privateJWK is a private JWK as it is written. Numbers are still in base64url.
type privateJWK struct {
	texts map[string]string
	ops   []string
	has   map[string]bool
}

// errNumbers: the numbers of a JWK are not in their one form, or do not make a key.
var errNumbers = errors.New("the numbers are not canonical, or private and public ones do not belong together")

// parseJWK reads a private JWK, RFC 7517 §4. What it says about itself gives way to o.
func parseJWK(text []byte, o KeyOptions) (*Key, error) {
	w := privateJWK{texts: map[string]string{}, has: map[string]bool{}}
	if err := strictjson.Object(text, w.member); err != nil {
		return nil, fmt.Errorf("%w: JWK: %w", jose.ErrKey, err)
	}
	signer, err := w.signer()
	if err != nil {
		return nil, fmt.Errorf("%w: JWK: %w", jose.ErrKey, err)
	}
	if o.Algorithm == "" {
		o.Algorithm = jose.Algorithm(w.texts["alg"])
		if o.Algorithm == jose.Ed25519 { // RFC 9864's name, which servers are slow to learn
			o.Algorithm = jose.EdDSA
		}
	}
	if o.ID == "" {
		o.ID = w.texts["kid"]
	}
	return NewKey(signer, o)
}

func (w *privateJWK) member(name string, value strictjson.Value) (err error) {
	w.has[name] = true
	switch name {
	case "kty", "crv", "x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi", "kid", "use", "alg":
		w.texts[name], err = value.String()
	case "key_ops":
		w.ops, err = value.Strings()
	case "k":
		err = errors.New("a shared secret, where a private key is due")
	case "oth":
		err = errors.New("an RSA key of more than two primes")
	}
	if err != nil {
		return fmt.Errorf("member %s: %w", name, err)
	}
	return nil
}

func (w *privateJWK) signer() (key crypto.Signer, err error) {
	switch {
	case w.has["use"] && w.texts["use"] != "sig" || w.has["key_ops"] && !slices.Contains(w.ops, "sign"):
		return nil, errors.New("the key is not for signing")
	case !w.has["d"]:
		return nil, errors.New("there is no member d: it is a public key")
	}
	switch w.texts["kty"] {
	case "EC":
		key, err = w.elliptic()
	case "OKP":
		key, err = w.edwards()
	case "RSA":
		key, err = w.modular()
	default:
		return nil, errors.New("kty is none of EC, RSA, OKP")
	}
	if err != nil {
		return nil, err
	}
	return key, w.compare(key.Public())
}

// compare tells whether the public members say what the private ones do.
func (w *privateJWK) compare(public crypto.PublicKey) error {
	text, err := jose.PublicJWK(public)
	if err != nil {
		return err
	}
	return strictjson.Object(text, func(name string, value strictjson.Value) error {
		if said, _ := value.String(); said != w.texts[name] {
			return errNumbers
		}
		return nil
	})
}

func (w *privateJWK) elliptic() (crypto.Signer, error) {
	if w.texts["crv"] != "P-256" {
		return nil, errors.New("crv is not P-256")
	}
	d, err := w.octets("d", 32)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return nil, errNumbers
	}
	return key, nil
}

func (w *privateJWK) edwards() (crypto.Signer, error) {
	if w.texts["crv"] != "Ed25519" {
		return nil, errors.New("crv is not Ed25519")
	}
	d, err := w.octets("d", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(d), nil
}

// modular reads a key of RFC 7518 §6.3.2. Countersign's needs the primes: without them signing is slow.
func (w *privateJWK) modular() (crypto.Signer, error) {
	numbers := map[string]*big.Int{}
	for _, name := range []string{"n", "e", "d", "p", "q", "dp", "dq", "qi"} {
		raw, err := w.octets(name, 0)
		if err != nil {
			return nil, err
		}
		numbers[name] = new(big.Int).SetBytes(raw)
	}
	if numbers["e"].BitLen() > 31 {
		return nil, errNumbers
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: numbers["n"], E: int(numbers["e"].Int64())},
		D:         numbers["d"], Primes: []*big.Int{numbers["p"], numbers["q"]},
	}
	if key.Validate() != nil {
		return nil, errNumbers
	}
	key.Precompute()
	ready := &key.Precomputed
	if ready.Dp.Cmp(numbers["dp"]) != 0 || ready.Dq.Cmp(numbers["dq"]) != 0 || ready.Qinv.Cmp(numbers["qi"]) != 0 {
		return nil, errNumbers
	}
	return key, nil
}

// octets decodes the member of this name, which is size bytes long; 0: any number but none.
func (w *privateJWK) octets(name string, size int) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(w.texts[name])
	if err != nil || len(raw) == 0 || size != 0 && len(raw) != size || base64.RawURLEncoding.EncodeToString(raw) != w.texts[name] {
		return nil, fmt.Errorf("member %s is missing, or not canonical base64url of its length", name)
	}
	return raw, nil
}
