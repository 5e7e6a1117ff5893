package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/strictjson"
)

const claims = `{"iss":"https://auth.example.com","sub":"cl_01jd2v8q4m6x0r9s3t5w7y1z2a","client_id":"cl_01jd2v8q4m6x0r9s3t5w7y1z2a",` +
	`"aud":"https://inventory.example.com","exp":1795434000,"iat":1795430400,"jti":"AbCdEfGhIjKlMnOpQrStUv",` +
	`"scope":"inventory:read inventory:write","cs_rev":123456,"cs_sec":"sec_01jd2v8q4m6x0r9s3t5w7y1z2a"}`

// walk reads every claim, as a verifier does.
func walk(b *testing.B, payload []byte) {
	b.Helper()
	err := strictjson.Object(payload, func(name string, value strictjson.Value) (err error) {
		switch name {
		case "exp", "iat", "nbf", "cs_rev":
			_, err = value.Number()
		case "aud":
			_, err = value.Strings()
		default:
			_, err = value.String()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// first is the sight of a token that was not seen before: it is read, its claims too, and its signature checked.
func first(b *testing.B, token string, key *jose.Key) {
	b.ReportAllocs()
	for b.Loop() {
		signed, err := jose.Parse(token)
		if err != nil {
			b.Fatal(err)
		}
		walk(b, signed.Payload)
		if err := signed.Verify(key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkES256 stands a token of ES256 beside the check of its signature alone, the hash known already. The rest of what is done is
// in "rest", for the difference of two big numbers says little on a busy machine.
func BenchmarkES256(b *testing.B) {
	v := newVictim(b)
	token := compact(es256, claims, v.sign)
	b.Run("bare", func(b *testing.B) {
		sum := digest(crypto.SHA256, token)
		signature, err := ecdsa.SignASN1(rand.Reader, v.private, sum)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&v.private.PublicKey, sum, signature) {
				b.Fatal("does not verify")
			}
		}
	})
	b.Run("ours", func(b *testing.B) { first(b, token, v.key) })
	b.Run("rest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			signed, err := jose.Parse(token)
			if err != nil {
				b.Fatal(err)
			}
			walk(b, signed.Payload)
		}
	})
}

func BenchmarkRS256(b *testing.B) {
	private, sign := bilboRSA(b), signRSA(b, jose.RS256)
	token := compact(`{"typ":"at+jwt","alg":"RS256","kid":"k1"}`, claims, sign)
	b.Run("bare", func(b *testing.B) {
		sum, signature := digest(crypto.SHA256, token), sign(token)
		b.ReportAllocs()
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, sum, signature); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours", func(b *testing.B) { first(b, token, mustKey(b, "{"+modular+"}")) })
}

func BenchmarkEdDSA(b *testing.B) {
	private := frodo(b)
	sign := func(input string) []byte { return ed25519.Sign(private, []byte(input)) }
	token := compact(`{"typ":"at+jwt","alg":"EdDSA","kid":"k1"}`, claims, sign)
	b.Run("bare", func(b *testing.B) {
		signature, public := sign(token), private.Public().(ed25519.PublicKey)
		b.ReportAllocs()
		for b.Loop() {
			if !ed25519.Verify(public, []byte(token), signature) {
				b.Fatal("does not verify")
			}
		}
	})
	b.Run("ours", func(b *testing.B) { first(b, token, mustKey(b, key8037)) })
}

// BenchmarkRefused is what garbage costs.
func BenchmarkRefused(b *testing.B) {
	v := newVictim(b)
	for _, bench := range []struct{ name, token string }{
		{"two parts", "e30.e30"},
		{"not base64url", compact(es256, claims, v.sign) + "="},
		{"none", compact(`{"alg":"none"}`, claims, fixed("x"))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := jose.Parse(bench.token); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
