package sdk

import (
	"crypto/subtle"
	"encoding/base64"

	"github.com/countersign/countersign/sdk/strictjson"
)

// binding is what a token is bound to (RFC 7800 §3.1): whoever presents it has to show that he has it. A token may be bound to both.
type binding struct {
	key         string   // the thumbprint of a DPoP key (jkt, RFC 9449 §6.1); empty: none
	certificate [32]byte // the SHA-256 of a certificate (x5t#S256, RFC 8705 §3.1), if certified
	certified   bool
	// unknown: it is bound to something that nobody here can check, or to nothing.
	unknown bool
}

// readBinding reads the claim cnf, or the member of an introspection answer. What cannot be read cannot be checked.
func readBinding(value strictjson.Value) *binding {
	var b binding
	err := value.Object(func(name string, value strictjson.Value) (err error) {
		switch name {
		case "jkt":
			var hash [32]byte
			hash, err = sha256Of(value)
			b.key = base64.RawURLEncoding.EncodeToString(hash[:])
		case "x5t#S256":
			b.certificate, err = sha256Of(value)
			b.certified = true
		default:
			b.unknown = true
		}
		return err
	})
	b.unknown = b.unknown || err != nil || b.key == "" && !b.certified
	return &b
}

// sha256Of reads a SHA-256 in base64url, in its one spelling.
func sha256Of(value strictjson.Value) (hash [32]byte, err error) {
	text, err := value.String()
	if err != nil {
		return hash, err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(hash) || len(text) != base64.RawURLEncoding.EncodedLen(len(hash)) {
		return hash, errRange
	}
	return [32]byte(raw), nil
}

// boundToKey tells whether DPoP is how the token is presented.
func (b *binding) boundToKey() bool { return b != nil && b.key != "" }

// same tells whether two bindings ask for the same.
func (b *binding) same(other *binding) bool {
	if b == nil || other == nil {
		return b == other
	}
	return *b == *other
}

// isKey compares the thumbprint of the key that made a proof.
func (b *binding) isKey(thumbprint string) bool {
	return subtle.ConstantTimeCompare([]byte(b.key), []byte(thumbprint)) == 1
}
