package proof_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"github.com/countersign/countersign/sdk/proof"
)

// Any signer makes a key: here one in memory, elsewhere one of a security module. The client is registered with the public half.
func ExampleNewKey() {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := proof.NewKey(signer, proof.KeyOptions{ID: "orders-2026"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key, key.Algorithm(), key.ID(), len(key.PublicJWK()) > 0)
	// Output: [redacted] ES256 orders-2026 true
}
