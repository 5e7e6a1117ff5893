package proof_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newEd25519(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t testing.TB, signer crypto.Signer, o proof.KeyOptions) *proof.Key {
	t.Helper()
	key, err := proof.NewKey(signer, o)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// everyKey returns a key for every algorithm.
func everyKey(t testing.TB) map[jose.Algorithm]*proof.Key {
	t.Helper()
	modular := newRSA(t, 2048)
	return map[jose.Algorithm]*proof.Key{
		jose.ES256: newKey(t, newP256(t), proof.KeyOptions{}),
		jose.EdDSA: newKey(t, newEd25519(t), proof.KeyOptions{}),
		jose.PS256: newKey(t, modular, proof.KeyOptions{}),
		jose.RS256: newKey(t, modular, proof.KeyOptions{Algorithm: jose.RS256}),
	}
}

// pkcs8 writes a key as OpenSSL 3 does.
func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// privateJWK writes a key as a JWK, with further members.
func privateJWK(t testing.TB, key crypto.Signer, further string) string {
	t.Helper()
	public, err := jose.PublicJWK(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	members := ""
	number := func(n *big.Int) string { return encode(n.Bytes()) }
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		raw, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		members = fmt.Sprintf(`,"d":"%s"`, encode(raw))
	case ed25519.PrivateKey:
		members = fmt.Sprintf(`,"d":"%s"`, encode(key.Seed()))
	case *rsa.PrivateKey:
		members = fmt.Sprintf(`,"d":"%s","p":"%s","q":"%s","dp":"%s","dq":"%s","qi":"%s"`, number(key.D), number(key.Primes[0]),
			number(key.Primes[1]), number(key.Precomputed.Dp), number(key.Precomputed.Dq), number(key.Precomputed.Qinv))
	}
	return strings.TrimSuffix(string(public), "}") + members + further + "}"
}

// read returns what a token says, its signature checked.
func read(t testing.TB, token string, key *jose.Key) (jose.Header, map[string]any) {
	t.Helper()
	signed, err := jose.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := signed.Verify(key); err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(signed.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return signed.Header, claims
}

func public(t testing.TB, key *proof.Key) *jose.Key {
	t.Helper()
	k, err := jose.ParseKey(key.PublicJWK())
	if err != nil {
		t.Fatal(err)
	}
	return k
}
