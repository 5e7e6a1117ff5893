package assertion_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/countersign/countersign/server/auth"
)

// BenchmarkCheck stands the check of an assertion beside that of its signature alone, the hash known already.
func BenchmarkCheck(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		private, ok := newSigner(b, "k1").key.(*ecdsa.PrivateKey)
		if !ok {
			b.Fatal("another kind of key")
		}
		sum := sha256.Sum256([]byte("text"))
		signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&private.PublicKey, sum[:], signature) {
				b.Fatal("does not verify")
			}
		}
	})
	run := func(name string, w *world, text, reason string) {
		b.Run(name, func(b *testing.B) {
			record, presented := &auth.ClientRecord{Client: w.client}, auth.PresentedAssertion(auth.JWTBearer, text)
			if reason == auth.UnknownClient {
				record = nil
			}
			b.ReportAllocs()
			for b.Loop() {
				_, err := w.verifier.Check(b.Context(), record, presented)
				if refusal, refused := errors.AsType[*auth.Refusal](err); refused != (reason != "") || refused && refusal.Reason != reason {
					b.Fatal(err)
				}
			}
		})
	}
	w, key, good := newOwn(b)
	run("private_key_jwt", w, key.sign(b, nil, good), "")
	run("unknown client", w, key.sign(b, nil, good), auth.UnknownClient)
	run("wrong audience", w, key.sign(b, nil, good.with(members{"aud": "x"})), auth.WrongAudience)
	run("garbage", w, "a.b.c", auth.BadAssertion)
	cluster, clusterKey := newCluster(b)
	run("federated_jwt", cluster, clusterKey.sign(b, nil, ofCluster()), "")
}
