package jose_test

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

const (
	x256 = `"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"`
	y256 = `"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	p256 = `"kty":"EC","crv":"P-256",` + x256 + `,` + y256
	okp  = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
)

func TestParseKey(t *testing.T) {
	all := []jose.Algorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	p384 := writeEC(t, &newEC(t, elliptic.P384()).PublicKey)
	for _, tt := range []struct {
		name, jwk  string
		id         string
		algorithms []jose.Algorithm
	}{
		{"RFC 7520 §3.1", "{" + ellipticKey + "}", "bilbo.baggins@hobbiton.example", []jose.Algorithm{jose.ES512}},
		{"RFC 7520 §3.3", "{" + modular + "}", "bilbo.baggins@hobbiton.example", all},
		{"RFC 7638 §3.1, with an alg", key7638, "2011-04-29", []jose.Algorithm{jose.RS256}},
		{"P-256", "{" + p256 + "}", "", []jose.Algorithm{jose.ES256}},
		{"P-384", "{" + p384 + "}", "", []jose.Algorithm{jose.ES384}},
		{"Ed25519", "{" + okp + "}", "", []jose.Algorithm{jose.EdDSA, jose.Ed25519}},
		{"Ed25519 with the alg of RFC 9864", "{" + okp + `,"alg":"Ed25519"}`, "", []jose.Algorithm{jose.Ed25519}},
		{"PS512", "{" + modular + `,"alg":"PS512"}`, "bilbo.baggins@hobbiton.example", []jose.Algorithm{jose.PS512}},
		{"key_ops with verify", "{" + p256 + `,"key_ops":["encrypt","verify"]}`, "", []jose.Algorithm{jose.ES256}},
		{"members that are not known", "{" + p256 + `,"x5c":["MIIB"],"x5t":"e30","exp":1,"K":"v","nested":{"d":1}}`, "", []jose.Algorithm{jose.ES256}},
		{"RSA of 2048 bits", rsaKey(odd(2048), "AQAB"), "", all},
		{"RSA of 8192 bits", rsaKey(odd(8192), "AQAB"), "", all},
		{"RSA with e 3", rsaKey(odd(2048), "Aw"), "", all},
		{"RSA with e 2³¹−1", rsaKey(odd(2048), "f____w"), "", all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := jose.ParseKey([]byte(tt.jwk))
			if err != nil {
				t.Fatal(err)
			}
			if key.ID() != tt.id || !slices.Equal(key.Algorithms(), tt.algorithms) {
				t.Errorf("got %q for %v", key.ID(), key.Algorithms())
			}
			for _, a := range jose.Algorithms() {
				if key.Allows(a) != slices.Contains(tt.algorithms, a) {
					t.Errorf("%s: %v", a, key.Allows(a))
				}
			}
		})
	}
}

// odd returns an odd number of this many bits.
func odd(bits uint) *big.Int {
	number := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return number.SetBit(number, 0, 1)
}

func rsaKey(n *big.Int, e string) string {
	return fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"%s"}`, encode(n.Bytes()), e)
}

func TestParseKeyRefuses(t *testing.T) {
	even := new(big.Int).Lsh(big.NewInt(1), 2047)
	for _, tt := range []struct{ name, jwk string }{
		{"nothing", ``},
		{"not an object", `[]`},
		{"empty", `{}`},
		{"duplicate member", "{" + p256 + "," + x256 + "}"},
		{"duplicate member by escape", "{" + p256 + `,"\u006bty":"EC"}`},
		{"kty in capitals", `{"KTY":"EC","crv":"P-256",` + x256 + `,` + y256 + `}`},
		{"kty ec", `{"kty":"ec","crv":"P-256",` + x256 + `,` + y256 + `}`},
		{"kid is a number", "{" + p256 + `,"kid":1}`},
		{"RFC 7520 §3.5, attack 2: oct", "{" + symmetric + "}"},
		{"attack 2: alg HS256", "{" + p256 + `,"alg":"HS256"}`},
		{"attack 1: alg none", "{" + p256 + `,"alg":"none"}`},
		{"alg of another curve", "{" + p256 + `,"alg":"ES384"}`},
		{"alg of another kind", "{" + p256 + `,"alg":"RS256"}`},
		{"alg for encryption", "{" + modular + `,"alg":"RSA-OAEP"}`},
		{"use enc", "{" + p256 + `,"use":"enc"}`},
		{"key_ops without verify", "{" + p256 + `,"key_ops":["sign"]}`},
		{"key_ops empty", "{" + p256 + `,"key_ops":[]}`},
		{"key_ops is a string", "{" + p256 + `,"key_ops":"verify"}`},
		{"secp256k1", `{"kty":"EC","crv":"secp256k1",` + x256 + `,` + y256 + `}`},
		{"P-384 with numbers of P-256", `{"kty":"EC","crv":"P-384",` + x256 + `,` + y256 + `}`},
		{"no y", `{"kty":"EC","crv":"P-256",` + x256 + `}`},
		{"point off the curve", `{"kty":"EC","crv":"P-256",` + x256 + `,"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4"}`},
		{"point 0", `{"kty":"EC","crv":"P-256","x":"` + zeros(32) + `","y":"` + zeros(32) + `"}`},
		{"x above the prime", `{"kty":"EC","crv":"P-256","x":"` + encode(strings.Repeat("\xff", 32)) + `",` + y256 + `}`},
		{"x with a zero before it", `{"kty":"EC","crv":"P-256","x":"AH_NzidwdsRdQYPL7m_bS3tYBzM1e-nvE7rPbjx70VRF",` + y256 + `}`},
		{"x with spare bits", `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV",` + y256 + `}`},
		{"x with padding", `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=",` + y256 + `}`},
		{"x with a line end", `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\n",` + y256 + `}`},
		{"RSA of 2047 bits", rsaKey(odd(2047), "AQAB")},
		{"RSA of 1024 bits", rsaKey(odd(1024), "AQAB")},
		{"RSA of 8193 bits", rsaKey(odd(8193), "AQAB")},
		{"RSA of even n", rsaKey(even, "AQAB")},
		{"RSA with zeros before n", `{"kty":"RSA","n":"` + encode("\x00"+string(odd(2048).Bytes())) + `","e":"AQAB"}`},
		{"RSA without n", `{"kty":"RSA","e":"AQAB"}`},
		{"RSA without e", `{"kty":"RSA","n":"` + modulus + `"}`},
		{"RSA with e 1", rsaKey(odd(2048), "AQ")},
		{"RSA with e 0", rsaKey(odd(2048), "AA")},
		{"RSA with even e", rsaKey(odd(2048), "AQAA")},
		{"RSA with e 2³¹+1", rsaKey(odd(2048), "gAAAAQ")},
		{"RSA with zeros before e", rsaKey(odd(2048), "AAEAAQ")},
		{"Ed448", `{"kty":"OKP","crv":"Ed448","x":"` + zeros(57) + `"}`},
		{"X25519", `{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`},
		{"Ed25519 of 31 bytes", `{"kty":"OKP","crv":"Ed25519","x":"` + zeros(31) + `"}`},
		{"Ed25519 off the curve", `{"kty":"OKP","crv":"Ed25519","x":"` + encode("\x02"+strings.Repeat("\x00", 31)) + `"}`},
		{"Ed25519 above the prime", `{"kty":"OKP","crv":"Ed25519","x":"` + encode(strings.Repeat("\xff", 32)) + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if key, err := jose.ParseKey([]byte(tt.jwk)); !errors.Is(err, jose.ErrKey) {
				t.Errorf("got %+v, %v", key, err)
			}
		})
	}
}

func zeros(n int) string { return encode(make([]byte, n)) }

func TestParseKeyRefusesPrivate(t *testing.T) {
	for _, tt := range []struct{ name, jwk string }{
		{"RFC 7520 §3.2", "{" + ellipticKey + `,"d":"` + ellipticD + `"}`},
		{"RFC 7520 §3.4", "{" + modular + `,"d":"` + modularD + `","p":"` + modularP + `","q":"` + modularQ + `"}`},
		{"RFC 8037 A.1", keyD8037},
		{"RFC 7520 §3.5", "{" + symmetric + "}"},
		{"empty d", "{" + p256 + `,"d":""}`},
		{"null d", "{" + p256 + `,"d":null}`},
		{"escaped d", "{" + p256 + `,"\u0064":"AQ"}`},
		{"p", "{" + modular + `,"p":"AQ"}`},
		{"q", "{" + modular + `,"q":"AQ"}`},
		{"dp", "{" + modular + `,"dp":"AQ"}`},
		{"dq", "{" + modular + `,"dq":"AQ"}`},
		{"qi", "{" + modular + `,"qi":"AQ"}`},
		{"oth", "{" + modular + `,"oth":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := jose.ParseKey([]byte(tt.jwk))
			if !errors.Is(err, jose.ErrKey) || !errors.Is(err, jose.ErrPrivate) {
				t.Errorf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), modularD) || strings.Contains(err.Error(), ellipticD)) {
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
}

func TestKeyEqual(t *testing.T) {
	key := mustKey(t, `{"kid":"a",`+p256+`}`)
	for _, tt := range []struct {
		name, jwk string
		want      bool
	}{
		{"same", `{` + p256 + `,"use":"sig","kid":"a"}`, true},
		{"another id", `{"kid":"b",` + p256 + `}`, false},
		{"another key", `{"kid":"a",` + writeEC(t, &newEC(t, elliptic.P256()).PublicKey) + `}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := key.Equal(mustKey(t, tt.jwk)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if mustKey(t, `{`+okp+`}`).Equal(mustKey(t, `{`+okp+`,"alg":"EdDSA"}`)) {
		t.Error("equal, though not for the same algorithms")
	}
}

// What callers do with the list must not change what the key allows.
func TestAlgorithmsAreACopy(t *testing.T) {
	key := mustKey(t, "{"+p256+"}")
	key.Algorithms()[0] = jose.RS256
	if !key.Allows(jose.ES256) || key.Allows(jose.RS256) {
		t.Error("the key changed")
	}
}
