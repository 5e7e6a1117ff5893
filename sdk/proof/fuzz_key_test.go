package proof_test

import (
	"testing"

	"github.com/countersign/countersign/sdk/proof"
)

// Whatever is read as a private key signs, and the public half that is registered checks it.
func FuzzParseKey(f *testing.F) {
	curve, edwards, modular := newP256(f), newEd25519(f), newRSA(f, 2048)
	for _, text := range []string{
		pkcs8(f, curve), pkcs8(f, edwards), privateJWK(f, curve, `,"kid":"a","alg":"ES256"`), privateJWK(f, edwards, ""), privateJWK(f, modular, `,"alg":"RS256"`),
		"{}", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := proof.ParseKey(text, proof.KeyOptions{})
		if err != nil {
			return
		}
		token, err := key.Assertion("cl_1", "https://auth.test")
		if err != nil {
			t.Fatal(err)
		}
		if header, _ := read(t, token, public(t, key)); header.KeyID != key.ID() {
			t.Errorf("kid %q, want %q", header.KeyID, key.ID())
		}
	})
}
