package assertion

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/countersign/countersign/sdk/jose"
)

// decoys are keys that have signed nothing. Where it does not come to the check of a signature, it is checked by one of them, so that who the
// server knows does not show in the time of an answer. There are some for the algorithms that clients of ours may use.
type decoys []*jose.Key

func newDecoys() (decoys, error) {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	var modulus [256]byte // of a key that nobody has: it need not be two primes
	_, _ = rand.Read(modulus[:])
	modulus[0] |= 0x80
	modulus[255] |= 1
	rsa, err := jose.ParseKey(fmt.Appendf(nil, `{"kty":"RSA","e":"AQAB","n":%q}`, base64.RawURLEncoding.EncodeToString(modulus[:])))
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	all := decoys{rsa}
	for _, public := range []any{&elliptical.PublicKey, edwards} {
		key, err := jose.FromPublic(public)
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		all = append(all, key)
	}
	return all, nil
}

// check takes the time that checking takes.
func (d decoys) check(t *token) {
	for _, key := range d {
		if key.Allows(t.Header.Algorithm) {
			_ = t.Verify(key) // whatever comes of it
			return
		}
	}
}
