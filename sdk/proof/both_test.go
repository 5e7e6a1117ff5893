package proof_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

// What the one half makes, the other takes.
func TestMadeAndChecked(t *testing.T) {
	for _, a := range []jose.Algorithm{jose.ES256, jose.EdDSA} {
		t.Run("D01: "+string(a), func(t *testing.T) {
			key, err := proof.GenerateKey(a)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse("https://a.example:443/%7ex%2fy?q=1#f")
			if err != nil {
				t.Fatal(err)
			}
			text, err := key.DPoP(proof.Use{Method: "PATCH", URL: u, AccessToken: "token", Nonce: "n"})
			if err != nil {
				t.Fatal(err)
			}
			read, err := proof.ReadDPoP([]string{text}, "PATCH", "https://a.example/~x%2Fy")
			if err != nil {
				t.Fatal(err)
			}
			if err := read.Covers("token"); err != nil {
				t.Error(err)
			}
			if err := read.Fresh(time.Now(), time.Minute, time.Second); err != nil {
				t.Error(err)
			}
			if read.Thumbprint != key.Thumbprint() || read.Nonce != "n" || read.Algorithm != a {
				t.Errorf("got %+v", read)
			}
		})
	}
}
