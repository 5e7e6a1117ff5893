package certificate

import (
	"crypto/x509"
	"encoding/base64"
	"errors"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/strictjson"
)

// member is a key of a set, as far as it is about certificates.
type member struct {
	use          string
	certificates []*x509.Certificate // x5c
	key          *jose.Key           // nil: none that can be used
}

var (
	errNoKeys = errors.New("no member keys")
	errKey    = errors.New("a key that is no object")
)

// parseSet reads a JWK set. A key whose members cannot be read, such as its certificates, is passed over.
func parseSet(set []byte) (members []member, err error) {
	found := false
	err = strictjson.Object(set, func(name string, value strictjson.Value) error {
		if name != "keys" {
			return nil
		}
		found = true
		return value.Array(func(key strictjson.Value) error {
			if key.Kind() != strictjson.Map {
				return errKey
			}
			var m member
			if key.Object(m.read) == nil {
				m.key, _ = jose.ParseKey(key.Raw()) // certificates need none
				members = append(members, m)
			}
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
	certified, err := jose.FromPublic(certificate.PublicKey)
	return err == nil && m.key != nil && m.key.Thumbprint() == certified.Thumbprint()
}
