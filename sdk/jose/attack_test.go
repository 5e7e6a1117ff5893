package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

const es256 = `{"typ":"at+jwt","alg":"ES256","kid":"k1"}`

// victim has a key of an issuer, whose public part attackers know.
type victim struct {
	t       testing.TB
	private *ecdsa.PrivateKey
	jwk     string
	key     *jose.Key
}

func newVictim(t testing.TB) *victim {
	private := newEC(t, elliptic.P256())
	jwk := `{"kid":"k1",` + writeEC(t, &private.PublicKey) + "}"
	return &victim{t, private, jwk, mustKey(t, jwk)}
}

// sign is how the issuer signs.
func (v *victim) sign(input string) []byte {
	r, s := signEC(v.t, v.private, crypto.SHA256, input)
	return raw(r, s, 32)
}

// altered signs, and has the two numbers of the signature changed.
func (v *victim) altered(change func(r, s, n *big.Int) []byte) string {
	return compact(es256, "{}", func(input string) []byte {
		r, s := signEC(v.t, v.private, crypto.SHA256, input)
		return change(r, s, v.private.Params().N)
	})
}

func fixed(text string) func(string) []byte { return func(string) []byte { return []byte(text) } }

func TestAttacksOnHeaders(t *testing.T) {
	v := newVictim(t)
	signed := func(header string) string { return compact(header, "{}", v.sign) }
	for _, tt := range []struct {
		name, token string
		err         error
	}{
		{"attack 1: none, no signature", compact(`{"alg":"none"}`, "{}", fixed("")), jose.ErrMalformed},
		{"attack 1: none, any signature", compact(`{"alg":"none"}`, "{}", fixed("x")), jose.ErrAlgorithm},
		{"attack 1: none, a right signature", signed(`{"alg":"none","kid":"k1"}`), jose.ErrAlgorithm},
		{"attack 1: ES256 without signature", compact(es256, "{}", fixed("")), jose.ErrMalformed},
		{"attack 3: nOnE", signed(`{"alg":"nOnE"}`), jose.ErrAlgorithm},
		{"attack 3: es256", signed(`{"alg":"es256"}`), jose.ErrAlgorithm},
		{"attack 3: hs256", signed(`{"alg":"hs256"}`), jose.ErrAlgorithm},
		{"attack 3: space", signed(`{"alg":"ES256 "}`), jose.ErrAlgorithm},
		{"attack 3: NUL", signed(`{"alg":"ES256\u0000"}`), jose.ErrAlgorithm},
		{"attack 3: ALG", signed(`{"ALG":"ES256"}`), jose.ErrAlgorithm},
		{"attack 3: a letter that folds to s", signed("{\"alg\":\"E\u017f256\"}"), jose.ErrAlgorithm},
		{"no alg", signed(`{"kid":"k1"}`), jose.ErrAlgorithm},
		{"alg is empty", signed(`{"alg":""}`), jose.ErrAlgorithm},
		{"alg is null", signed(`{"alg":null}`), jose.ErrMalformed},
		{"alg is a list", signed(`{"alg":["ES256"]}`), jose.ErrMalformed},
		{"alg is not one of ours", signed(`{"alg":"ES256K"}`), jose.ErrAlgorithm},
		{"kid is a number", signed(`{"alg":"ES256","kid":1}`), jose.ErrMalformed},
		{"typ is null", signed(`{"alg":"ES256","typ":null}`), jose.ErrMalformed},
		{"header is a list", signed(`["ES256"]`), jose.ErrMalformed},
		{"header is empty", signed(``), jose.ErrMalformed},
		{"header is not UTF-8", signed("{\"alg\":\"ES256\",\"kid\":\"\xff\"}"), jose.ErrMalformed},
		{"header with text after", signed(es256 + "{}"), jose.ErrMalformed},
		{"header with a lone surrogate", signed(`{"alg":"ES256","kid":"\ud800"}`), jose.ErrMalformed},
		{"header with a NUL", signed("{\"alg\":\"ES256\",\"kid\":\"k1\x00\"}"), jose.ErrMalformed},
		{"header too deep", signed(`{"alg":"ES256","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`), jose.ErrMalformed},
		{"header too long", signed(`{"alg":"ES256","x":"` + strings.Repeat("x", jose.MaxHeader) + `"}`), jose.ErrMalformed},
		{"token too long", compact(es256, strings.Repeat(" ", jose.MaxToken), v.sign), jose.ErrMalformed},
		{"attack 7: b64 and crit", signed(`{"alg":"ES256","b64":false,"crit":["b64"]}`), jose.ErrMalformed},
		{"attack 7: b64", signed(`{"alg":"ES256","b64":false}`), jose.ErrMalformed},
		{"attack 7: b64 is true", signed(`{"alg":"ES256","b64":true}`), jose.ErrMalformed},
		{"attack 8: unknown crit", signed(`{"alg":"ES256","crit":["x"],"x":1}`), jose.ErrMalformed},
		{"attack 8: known crit", signed(`{"alg":"ES256","crit":["kid"],"kid":"k1"}`), jose.ErrMalformed},
		{"attack 8: empty crit", signed(`{"alg":"ES256","crit":[]}`), jose.ErrMalformed},
		{"attack 8: null crit", signed(`{"alg":"ES256","crit":null}`), jose.ErrMalformed},
		{"attack 9: JWE", "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.e30.e30.e30.e30", jose.ErrMalformed},
		{"attack 9: header of a JWE", signed(`{"alg":"ES256","enc":"A256GCM"}`), jose.ErrMalformed},
		{"attack 9: p2c", signed(`{"alg":"PBES2-HS512+A256KW","p2c":1000000000,"p2s":"e30"}`), jose.ErrAlgorithm},
		{"attack 10: zip", signed(`{"alg":"ES256","zip":"DEF"}`), jose.ErrMalformed},
		{"attack 14: two alg", signed(`{"alg":"ES256","alg":"none"}`), jose.ErrMalformed},
		{"attack 14: two alg, one escaped", signed(`{"alg":"ES256","\u0061lg":"none"}`), jose.ErrMalformed},
		{"attack 14: two kid", signed(`{"alg":"ES256","kid":"k1","kid":"k2"}`), jose.ErrMalformed},
		{"attack 14: two of a name within", signed(`{"alg":"ES256","x":{"y":1,"y":2}}`), jose.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			if _, err := verify(tt.token, v.key); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if took := time.Since(began); took > time.Second { // 10 ms, on a machine that does something else too
				t.Errorf("took %v", took)
			}
		})
	}
}

// Tokens say where their key is to be had. Nobody looks, so that both an attacker's and the issuer's own token are judged by the
// issuer's key alone.
func TestAttacksByKeysInHeaders(t *testing.T) {
	v, attacker := newVictim(t), newVictim(t)
	for _, tt := range []struct{ name, members string }{
		{"attack 4: kid is a path", `"kid":"../../dev/null"`},
		{"attack 4: kid is SQL", `"kid":"' OR 1=1 --"`},
		{"attack 5: jku", `"kid":"k1","jku":"https://attacker.example/keys"`},
		{"attack 5: x5u", `"kid":"k1","x5u":"https://attacker.example/cert"`},
		{"attack 6: jwk", `"kid":"k1","jwk":` + attacker.jwk},
		{"attack 6: x5c", `"kid":"k1","x5c":["MIIB"],"x5t":"e30","x5t#S256":"e30"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := `{"alg":"ES256",` + tt.members + `}`
			if _, err := verify(compact(header, "{}", attacker.sign), v.key); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("the attacker's token: %v", err)
			}
			if _, err := verify(compact(header, "{}", v.sign), v.key); err != nil {
				t.Errorf("the issuer's token: %v", err)
			}
		})
	}
}

func TestAttacksByHMAC(t *testing.T) {
	v := newVictim(t)
	der, err := x509.MarshalPKIXPublicKey(&v.private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	point, err := v.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"attack 2: PEM":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"attack 2: DER":   der,
		"attack 2: JWK":   []byte(v.jwk),
		"attack 2: point": point,
		"attack 2: empty": nil,
	} {
		t.Run(name, func(t *testing.T) {
			token := compact(`{"alg":"HS256","kid":"k1"}`, "{}", func(input string) []byte {
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(input))
				return mac.Sum(nil)
			})
			if _, err := verify(token, v.key); !errors.Is(err, jose.ErrAlgorithm) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAttacksOnECDSA(t *testing.T) {
	v := newVictim(t)
	zero, one := big.NewInt(0), big.NewInt(1)
	for _, tt := range []struct {
		name   string
		change func(r, s, n *big.Int) []byte
		err    error
	}{
		{"unchanged", func(r, s, _ *big.Int) []byte { return raw(r, s, 32) }, nil},
		{"attack 12: high and low s are the same token", func(r, s, n *big.Int) []byte { return raw(r, new(big.Int).Sub(n, s), 32) }, nil},
		{"attack 11: r and s are 0", func(_, _, _ *big.Int) []byte { return raw(zero, zero, 32) }, jose.ErrSignature},
		{"attack 11: r is 0", func(_, s, _ *big.Int) []byte { return raw(zero, s, 32) }, jose.ErrSignature},
		{"attack 11: s is 0", func(r, _, _ *big.Int) []byte { return raw(r, zero, 32) }, jose.ErrSignature},
		{"attack 11: r and s are n", func(_, _, n *big.Int) []byte { return raw(n, n, 32) }, jose.ErrSignature},
		{"attack 11: r is n", func(_, s, n *big.Int) []byte { return raw(n, s, 32) }, jose.ErrSignature},
		{"attack 11: s is n", func(r, _, n *big.Int) []byte { return raw(r, n, 32) }, jose.ErrSignature},
		{"attack 11: r and s are 1", func(_, _, _ *big.Int) []byte { return raw(one, one, 32) }, jose.ErrSignature},
		{"attack 11: all ones", func(_, _, _ *big.Int) []byte { return []byte(strings.Repeat("\xff", 64)) }, jose.ErrSignature},
		{"attack 12: DER", func(r, s, _ *big.Int) []byte {
			der, _ := asn1.Marshal(struct{ R, S *big.Int }{r, s})
			return der
		}, jose.ErrSignature},
		{"s and r", func(r, s, _ *big.Int) []byte { return raw(s, r, 32) }, jose.ErrSignature},
		{"one byte short", func(r, s, _ *big.Int) []byte { return raw(r, s, 32)[:63] }, jose.ErrSignature},
		{"one byte more", func(r, s, _ *big.Int) []byte { return append(raw(r, s, 32), 0) }, jose.ErrSignature},
		{"a zero before s", func(r, s, _ *big.Int) []byte { return append(raw(r, s, 32)[:32], s.FillBytes(make([]byte, 33))...) }, jose.ErrSignature},
		{"leading zeros", func(r, s, _ *big.Int) []byte { return raw(r, s, 33) }, jose.ErrSignature},
		{"as long as that of P-521", func(r, s, _ *big.Int) []byte { return raw(r, s, 66) }, jose.ErrSignature},
		{"r only", func(r, _, _ *big.Int) []byte { return raw(r, one, 32)[:32] }, jose.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := verify(v.altered(tt.change), v.key); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
}

// On P-521 there is room above the order: r+n and s+n fit as well, and would be the same signature.
func TestAttacksAboveTheOrder(t *testing.T) {
	private := newEC(t, elliptic.P521())
	key, n := mustKey(t, "{"+writeEC(t, &private.PublicKey)+"}"), private.Params().N
	for _, tt := range []struct {
		name         string
		moreR, moreS int64
		err          error
	}{
		{"unchanged", 0, 0, nil},
		{"attack 11: r+n", 1, 0, jose.ErrSignature},
		{"attack 11: s+n", 0, 1, jose.ErrSignature},
		{"attack 11: r+100n, a negative number in ASN.1", 100, 0, jose.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := compact(`{"alg":"ES512"}`, "{}", func(input string) []byte {
				r, s := signEC(t, private, crypto.SHA512, input)
				r.Add(r, new(big.Int).Mul(n, big.NewInt(tt.moreR)))
				s.Add(s, new(big.Int).Mul(n, big.NewInt(tt.moreS)))
				return raw(r, s, 66)
			})
			if _, err := verify(token, key); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
}

func TestAttacksOnRSA(t *testing.T) {
	key := mustKey(t, "{"+modular+"}")
	onlyPSS := mustKey(t, "{"+modular+`,"alg":"PS256"}`)
	rs256, ps256 := signRSA(t, jose.RS256), signRSA(t, jose.PS256)
	for _, tt := range []struct {
		name, alg string
		sign      func(string) []byte
		key       *jose.Key
		err       error
	}{
		{"PS256 at its key", "PS256", ps256, onlyPSS, nil},
		{"RS256 at a key for PS256", "RS256", rs256, onlyPSS, jose.ErrAlgorithm},
		{"RS256 called PS256", "PS256", rs256, key, jose.ErrSignature},
		{"PS256 called RS256", "RS256", ps256, key, jose.ErrSignature},
		{"RS512 called RS256", "RS256", signRSA(t, jose.RS512), key, jose.ErrSignature},
		{"ES256 at an RSA key", "ES256", rs256, key, jose.ErrAlgorithm},
		{"a byte more", "RS256", func(input string) []byte { return append([]byte{0}, rs256(input)...) }, key, jose.ErrSignature},
		{"a byte less", "RS256", func(input string) []byte { return rs256(input)[1:] }, key, jose.ErrSignature},
		{"plus the modulus", "RS256", func(input string) []byte {
			n := bilboRSA(t).N
			return new(big.Int).Add(n, new(big.Int).SetBytes(rs256(input))).Bytes()
		}, key, jose.ErrSignature},
		{"0", "RS256", func(string) []byte { return make([]byte, 256) }, key, jose.ErrSignature},
		{"1", "RS256", func(string) []byte { return append(make([]byte, 255), 1) }, key, jose.ErrSignature},
		{"PSS with a shorter salt", "PS256", func(input string) []byte {
			signature, err := rsa.SignPSS(rand.Reader, bilboRSA(t), crypto.SHA256, digest(crypto.SHA256, input), &rsa.PSSOptions{SaltLength: 20})
			if err != nil {
				t.Fatal(err)
			}
			return signature
		}, key, jose.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := verify(compact(`{"alg":"`+tt.alg+`"}`, "{}", tt.sign), tt.key); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
}

func TestAttacksOnEd25519(t *testing.T) {
	key, private := mustKey(t, key8037), frodo(t)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	for _, tt := range []struct {
		name   string
		change func(signature []byte) []byte
		err    error
	}{
		{"unchanged", func(signature []byte) []byte { return signature }, nil},
		{"S plus the order", func(signature []byte) []byte {
			s := reversed(signature[32:])
			return append(signature[:32], reversed(new(big.Int).Add(order, new(big.Int).SetBytes(s)).FillBytes(s))...)
		}, jose.ErrSignature},
		{"a byte less", func(signature []byte) []byte { return signature[:63] }, jose.ErrSignature},
		{"a byte more", func(signature []byte) []byte { return append(signature, 0) }, jose.ErrSignature},
		{"zeros", func([]byte) []byte { return make([]byte, 64) }, jose.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := compact(`{"alg":"Ed25519"}`, "{}", func(input string) []byte {
				return tt.change(ed25519.Sign(private, []byte(input)))
			})
			if _, err := verify(token, key); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
}

func reversed(number []byte) []byte {
	out := slices.Clone(number)
	slices.Reverse(out)
	return out
}
