package certificate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"

	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/strictjson"
)

// member is a key of a set, as far as it is about certificates.
type member struct {
	use          string
	certificates []*x509.Certificate // x5c
	// kty, and the numbers of the key as they are written.
	kty, crv, x, y, n, e string
}

var errNoKeys = errors.New("no member keys")

// parseSet reads a JWK set. Certificates that cannot be read are passed over with their key.
func parseSet(set []byte) (members []member, err error) {
	found := false
	err = strictjson.Object(set, func(name string, value strictjson.Value) error {
		if name != "keys" {
			return nil
		}
		found = true
		return value.Array(func(key strictjson.Value) error {
			var m member
			if err := key.Object(m.read); err != nil {
				return err
			}
			members = append(members, m)
			return nil
		})
	})
	if err == nil && !found {
		err = errNoKeys
	}
	return members, err
}

func (m *member) read(name string, value strictjson.Value) (err error) {
	switch name {
	case "use":
		m.use, err = value.String()
	case "kty":
		m.kty, err = value.String()
	case "crv":
		m.crv, err = value.String()
	case "x":
		m.x, err = value.String()
	case "y":
		m.y, err = value.String()
	case "n":
		m.n, err = value.String()
	case "e":
		m.e, err = value.String()
	case "x5c":
		m.certificates, err = chainOf(value)
	}
	return err
}

// chainOf reads x5c: DER in base64, not base64url (RFC 7517 §4.7).
func chainOf(value strictjson.Value) (chain []*x509.Certificate, err error) {
	texts, err := value.Strings()
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New("x5c is not base64")
		}
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errors.New("x5c has what is no certificate")
		}
		chain = append(chain, one)
	}
	return chain, nil
}

// is reports whether the member is for a certificate: it has that very one or, if it has none, its public key.
func (m *member) is(certificate *x509.Certificate, thumbprint [32]byte) bool {
	if len(m.certificates) > 0 {
		return proof.CertificateThumbprint(m.certificates[0]) == thumbprint
	}
	encode := base64.RawURLEncoding.EncodeToString
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // SEC 1 §2.3.3: 4, x, y
		if err != nil {
			return false
		}
		half := (len(point) - 1) / 2
		return m.kty == "EC" && m.crv == key.Curve.Params().Name && m.x == encode(point[1:1+half]) && m.y == encode(point[1+half:])
	case *rsa.PublicKey:
		return m.kty == "RSA" && m.n == encode(key.N.Bytes()) && m.e == encode(big.NewInt(int64(key.E)).Bytes())
	case ed25519.PublicKey:
		return m.kty == "OKP" && m.crv == "Ed25519" && m.x == encode(key)
	}
	return false
}
