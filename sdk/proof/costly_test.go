package proof_test

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"math/big"
	"net/url"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

// bigKey is a signer of an RSA key by which nobody checks proofs.
type bigKey struct{ crypto.Signer }

func (bigKey) Public() crypto.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 4103)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func TestCostlyKeysMakeNoProofs(t *testing.T) {
	key, err := proof.NewKey(bigKey{}, proof.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.DPoP(proof.Use{Method: "POST", URL: &url.URL{Scheme: "https", Host: "server.example"}}); !errors.Is(err, jose.ErrKey) {
		t.Errorf("got %v", err)
	}
}
