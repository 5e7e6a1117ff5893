package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// JWKS is the JWK set as it is served, RFC 7517 §5. Its max-age is JWKSMaxAge.
type JWKS struct {
	Body []byte // application/jwk-set+json; shared, not to be changed
	ETag string // strong, quoted, RFC 9110 §8.8.3: equal on every instance that holds the same keys
}

// jwk is a public key, RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
type jwk struct {
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

// document is the JWK set of a snapshot, good until one of its keys is no longer needed.
type document struct {
	jwks  JWKS
	until time.Time // zero: no end
}

// JWKS returns the JWK set: every key that signs, is to sign, or signed a token that may live. Keys are in order of age.
func (r *Ring) JWKS() JWKS {
	state, now := r.state.Load(), r.config.Now()
	known := state.document.Load()
	if known == nil || !known.until.IsZero() && !now.Before(known.until) {
		known = state.publish(now)
		state.document.Store(known)
	}
	return known.jwks
}

func (s *snapshot) publish(now time.Time) *document {
	made := &document{}
	var members [][]byte
	for _, key := range s.all {
		if !key.opened() || !key.needed(now) {
			continue
		}
		members = append(members, key.jwk)
		if !key.until.IsZero() && (made.until.IsZero() || key.until.Before(made.until)) {
			made.until = key.until
		}
	}
	body := fmt.Appendf(nil, `{"keys":[%s]}`, bytes.Join(members, []byte(",")))
	sum := sha256.Sum256(body)
	made.jwks = JWKS{Body: body, ETag: `"` + base64url(sum[:16]) + `"`}
	return made
}

// encodeJWK writes the public part of k as it is published.
func encodeJWK(k *auth.Key, part crypto.PublicKey) ([]byte, error) {
	out := jwk{Kid: k.ID.String(), Use: "sig", Alg: string(k.Algorithm)}
	switch public := part.(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y: SEC 1 §2.3.3
		if err != nil {
			return nil, fmt.Errorf("encode public part of key %s: %w", k.ID, err)
		}
		out.Kty, out.Crv = "EC", "P-256"
		out.X, out.Y = base64url(point[1:1+coordinate]), base64url(point[1+coordinate:])
	case *rsa.PublicKey:
		out.Kty, out.N, out.E = "RSA", base64url(public.N.Bytes()), base64url(big.NewInt(int64(public.E)).Bytes())
	case ed25519.PublicKey:
		out.Kty, out.Crv, out.X = "OKP", "Ed25519", base64url(public)
	}
	return json.Marshal(out)
}

func base64url(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
