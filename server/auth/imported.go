package auth

import (
	"context"
	"strings"
)

// The length of an imported secret, in bytes.
const (
	MinImported = 16
	MaxImported = 256
)

// MaxSecrets is how many secrets a client can have, whether or not they can be used.
const MaxSecrets = 10

// Importable reports whether the value may be brought from outside as a secret: 16 to 256 printable characters of ASCII without
// space, and not the prefix of those that this server makes, which are told by it.
func (v SecretValue) Importable() bool {
	if len(v.text) < MinImported || len(v.text) > MaxImported || strings.HasPrefix(v.text, secretPrefix) {
		return false
	}
	for i := range len(v.text) {
		if c := v.text[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Imported tells imported secrets by their argon2id hashes, which is made to be slow.
type Imported interface {
	// Match returns the one of a client's secrets that v is the value of, or nil. At most MaxSecrets are tried. It returns fault.TooMany to
	// a client whose secrets were guessed wrongly too often of late, and fault.Unavailable if there was no room to compute in.
	Match(ctx context.Context, client ClientID, v SecretValue, secrets []*Secret) (*Secret, error)
}
