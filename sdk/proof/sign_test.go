package proof_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

func base64url[T []byte | string](raw T) string {
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

// holder has a key, and proves it.
type holder struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

func newHolder(t testing.TB) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{t, key}
}

// jwk returns the public key, with more members if there are any.
func (h *holder) jwk(more map[string]any) map[string]any {
	h.t.Helper()
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		h.t.Fatal(err)
	}
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": base64url(point[1:33]), "y": base64url(point[33:])}
	maps.Copy(jwk, more)
	return jwk
}

func (h *holder) private() string {
	h.t.Helper()
	d, err := h.key.Bytes()
	if err != nil {
		h.t.Fatal(err)
	}
	return base64url(d)
}

// sign signs claims. A header member or claim that is nil is left out of what a right proof has.
func (h *holder) sign(header, claims map[string]any) string {
	h.t.Helper()
	return h.compact(h.text(header, map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": h.jwk(nil)}), h.text(claims, rightClaims()))
}

func (h *holder) compact(header, claims []byte) string {
	h.t.Helper()
	input := base64url(header) + "." + base64url(claims)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		h.t.Fatal(err)
	}
	return input + "." + base64url(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func rightClaims() map[string]any {
	return map[string]any{"jti": "j1", "htm": "POST", "htu": "https://server.example/token", "iat": 1_800_000_000}
}

func (h *holder) text(members, right map[string]any) []byte {
	h.t.Helper()
	maps.Copy(right, members)
	maps.DeleteFunc(right, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(right)
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// signText signs claims that are written as they are to be.
func (h *holder) signText(claims string) string {
	h.t.Helper()
	header := h.text(nil, map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": h.jwk(nil)})
	return h.compact(header, []byte(claims))
}

// signES384 signs a right proof by an algorithm that jose knows and proofs have not.
func signES384(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.PublicJWK(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.ParseKey(jwk)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(rightClaims())
	if err != nil {
		t.Fatal(err)
	}
	text, err := public.Sign(key, jose.ES384, []byte(`{"typ":"dpop+jwt","alg":"ES384","jwk":`+string(jwk)+`}`), claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
