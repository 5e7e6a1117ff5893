package keys_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/countersign/countersign/server/auth"
)

// BenchmarkSign is to be read beside BenchmarkSignBare of the same run, the limit.
func BenchmarkSign(b *testing.B) {
	for _, alg := range auth.Algorithms() {
		b.Run(string(alg), func(b *testing.B) {
			ring := newRing(b, start, generate(b, alg, start()))
			claims := sample()
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := ring.Sign(alg, claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSignBare(b *testing.B) {
	private := newForge(b, auth.ES256).signer.(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte("message"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, private, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify is to be read beside BenchmarkVerifyBare of the same run, the limit.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range auth.Algorithms() {
		b.Run(string(alg), func(b *testing.B) {
			ring := newRing(b, start, generate(b, alg, start()))
			token, _, err := ring.Sign(alg, sample())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ring.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyBare(b *testing.B) {
	private := newForge(b, auth.ES256).signer.(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte("message"))
	signature, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.VerifyASN1(&private.PublicKey, digest[:], signature) {
			b.Fatal("not verified")
		}
	}
}
