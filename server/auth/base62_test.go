package auth_test

import (
	"crypto/rand"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/server/auth"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// textOf writes n in 22 digits by schoolbook division.
func textOf(n *big.Int) string {
	var text []byte
	rest, digit, base := new(big.Int).Set(n), new(big.Int), big.NewInt(int64(len(base62)))
	for range 22 {
		rest.DivMod(rest, base, digit)
		text = append(text, base62[digit.Int64()])
	}
	slices.Reverse(text)
	return string(text)
}

// Every number of 128 bits has the one text that schoolbook division gives it, and texts of larger numbers are none.
func TestIDsAreNumbersInBase62(t *testing.T) {
	end := new(big.Int).Lsh(big.NewInt(1), 128)
	var numbers []*big.Int
	power := func(digits int64) *big.Int { return new(big.Int).Exp(big.NewInt(62), big.NewInt(digits), nil) }
	for _, near := range []*big.Int{big.NewInt(1000), power(10), power(20), new(big.Int).Lsh(big.NewInt(1), 64), end, power(22)} {
		for off := int64(-70); off < 70; off++ {
			numbers = append(numbers, new(big.Int).Add(near, big.NewInt(off)))
		}
	}
	for range 5000 {
		n, err := rand.Int(rand.Reader, end)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	for _, n := range numbers {
		text := textOf(n)
		if n.Cmp(end) >= 0 {
			if _, err := auth.ParseTokenID(text); err == nil && n.Cmp(power(22)) < 0 {
				t.Errorf("%s, which is %s, is taken", text, n)
			}
			continue
		}
		var id auth.TokenID
		n.FillBytes(id[:])
		if got := id.String(); got != text {
			t.Errorf("%s is written %s, want %s", n, got, text)
		}
		if back, err := auth.ParseTokenID(text); err != nil || back != id {
			t.Errorf("%s is read as %x, %v", text, back, err)
		}
		for _, wrong := range []string{"-", "\x00", "~", "/", ":", "@", "[", "`", "{"} {
			at := int(id[15]) % len(text)
			if _, err := auth.ParseTokenID(text[:at] + wrong + text[at+1:]); err == nil {
				t.Errorf("%q is taken for a digit", wrong)
			}
		}
	}
	if _, err := auth.ParseTokenID(strings.Repeat("z", 22)); err == nil {
		t.Error("the largest text is taken")
	}
}
