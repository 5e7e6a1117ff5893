package keys_test

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// One signature in 128 has a number of fewer bytes, and three in four have one whose sign takes a byte of its own.
func TestEverySignatureIsGood(t *testing.T) {
	ring := newRing(t, start, generate(t, auth.ES256, start()))
	for i := range 1000 {
		token, _, err := ring.Sign(auth.ES256, sample())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Verify(token); err != nil {
			t.Fatalf("signature %d: %v", i, err)
		}
	}
}

// FuzzSignatureForm compares with encoding/asn1: whatever is the one encoding of two numbers of 256 bits is taken, and nothing else.
func FuzzSignatureForm(f *testing.F) {
	type signature struct{ R, S *big.Int }
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for _, n := range []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(127), big.NewInt(128), big.NewInt(-1), most, new(big.Int).Add(most, big.NewInt(1))} {
		for _, s := range []signature{{n, most}, {big.NewInt(1), n}} {
			der, err := asn1.Marshal(s)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(der)
			f.Add(der[:len(der)-1])
			f.Add(append(der, 0))
		}
	}
	for _, text := range []string{"", "\x30\x00", "\x30\x80\x02\x01\x01\x02\x01\x01\x00\x00", "\x30\x08\x02\x02\x00\x01\x02\x02\x00\x01", "\x30\x04\x02\x00\x02\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		const before = "header.claims"
		got, err := keys.AppendFixed([]byte(before), der)
		var s signature
		rest, unreadable := asn1.Unmarshal(der, &s)
		good := unreadable == nil && len(rest) == 0 && s.R.Sign() >= 0 && s.S.Sign() >= 0 && s.R.BitLen() <= 256 && s.S.BitLen() <= 256
		if good { // encoding/asn1 reads over what follows the last member
			again, err := asn1.Marshal(s)
			good = err == nil && bytes.Equal(again, der)
		}
		if good != (err == nil) {
			t.Fatalf("%x: good %v, taken: %v", der, good, err)
		}
		if good {
			want := s.S.FillBytes(make([]byte, 32))
			want = append(s.R.FillBytes(make([]byte, 32)), want...)
			if !bytes.Equal(got, append([]byte(before), want...)) {
				t.Fatalf("%x became %x, want %x", der, got, want)
			}
		}
	})
}
