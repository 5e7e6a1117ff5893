package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

func encode[T []byte | string](raw T) string {
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

func decode(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func integer(t testing.TB, text string) *big.Int { return new(big.Int).SetBytes(decode(t, text)) }

// hashOf returns the hash that the name of an algorithm ends in.
func hashOf(a jose.Algorithm) crypto.Hash {
	return map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[string(a[2:])]
}

func digest(h crypto.Hash, text string) []byte {
	hash := h.New()
	hash.Write([]byte(text))
	return hash.Sum(nil)
}

// compact joins a header, a payload and a signature over both.
func compact(header, payload string, sign func(input string) []byte) string {
	input := encode(header) + "." + encode(payload)
	return input + "." + encode(sign(input))
}

// bilboRSA is the RSA key of RFC 7520 §3.4.
func bilboRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: integer(t, modulus), E: 65537},
		D:         integer(t, modularD),
		Primes:    []*big.Int{integer(t, modularP), integer(t, modularQ)},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		t.Fatal(err)
	}
	return key
}

func signRSA(t testing.TB, a jose.Algorithm) func(string) []byte {
	t.Helper()
	key := bilboRSA(t)
	return func(input string) []byte {
		var options crypto.SignerOpts = hashOf(a)
		if a[0] == 'P' {
			options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hashOf(a)}
		}
		signature, err := key.Sign(rand.Reader, digest(hashOf(a), input), options)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

func newEC(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writeEC returns the members of the JWK of a key, which have no kid.
func writeEC(t testing.TB, key *ecdsa.PublicKey) string {
	t.Helper()
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	size := len(point) / 2
	return fmt.Sprintf(`"kty":"EC","crv":"%s","x":"%s","y":"%s"`, key.Curve.Params().Name, encode(point[1:1+size]), encode(point[1+size:]))
}

// signEC returns r and s.
func signEC(t testing.TB, key *ecdsa.PrivateKey, h crypto.Hash, input string) (r, s *big.Int) {
	t.Helper()
	r, s, err := ecdsa.Sign(rand.Reader, key, digest(h, input))
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// raw writes two numbers in size bytes each.
func raw(r, s *big.Int, size int) []byte {
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

// frodo is the key of RFC 8037 A.1.
func frodo(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	return ed25519.NewKeyFromSeed(decode(t, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))
}

func TestEveryAlgorithm(t *testing.T) {
	for _, a := range jose.Algorithms() {
		t.Run(string(a), func(t *testing.T) {
			key, sign := pair(t, a)
			token := compact(fmt.Sprintf(`{"typ":"at+jwt","alg":%q,"kid":"k"}`, a), `{"sub":"x"}`, sign)
			signed, err := verify(token, key)
			if err != nil {
				t.Fatal(err)
			}
			if want := (jose.Header{Algorithm: a, KeyID: "k", Type: "at+jwt"}); signed.Header != want || string(signed.Payload) != `{"sub":"x"}` {
				t.Errorf("got %+v and %s", signed.Header, signed.Payload)
			}
			if _, err := verify(token, mustKey(t, keyA2)); !errors.Is(err, refusal(a)) {
				t.Errorf("by another key: %v", err)
			}
		})
	}
}

// pair returns a key for an algorithm, and what signs for it.
func pair(t *testing.T, a jose.Algorithm) (*jose.Key, func(string) []byte) {
	t.Helper()
	curves := map[jose.Algorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()}
	switch curve := curves[a]; {
	case curve != nil:
		key := newEC(t, curve)
		return mustKey(t, "{"+writeEC(t, &key.PublicKey)+"}"), func(input string) []byte {
			r, s := signEC(t, key, hashOf(a), input)
			return raw(r, s, (curve.Params().BitSize+7)/8)
		}
	case a == jose.EdDSA || a == jose.Ed25519:
		return mustKey(t, key8037), func(input string) []byte { return ed25519.Sign(frodo(t), []byte(input)) }
	}
	return mustKey(t, "{"+modular+"}"), signRSA(t, a)
}

// refusal is what a token of this algorithm meets at an RSA key that did not sign it.
func refusal(a jose.Algorithm) error {
	if a[1] == 'S' && a[0] != 'E' {
		return jose.ErrSignature
	}
	return jose.ErrAlgorithm
}
