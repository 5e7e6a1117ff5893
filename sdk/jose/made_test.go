package jose_test

import (
	"crypto"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
)

// signer is what makes signatures of which the test knows more than that they are good.
type signer struct {
	public    crypto.PublicKey
	signature []byte
}

func (s signer) Public() crypto.PublicKey { return s.public }
func (s signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.signature, nil
}

func TestSign(t *testing.T) {
	curve256 := newEC(t, elliptic.P256())
	keys := map[string]crypto.Signer{
		"ES256": curve256, "ES384": newEC(t, elliptic.P384()), "ES512": newEC(t, elliptic.P521()),
		"EdDSA": frodo(t), "Ed25519": frodo(t),
	}
	for _, a := range jose.Algorithms() {
		t.Run(string(a), func(t *testing.T) {
			var key crypto.Signer = bilboRSA(t)
			if known := keys[string(a)]; known != nil {
				key = known
			}
			public, err := jose.FromPublic(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			for range 40 { // so that numbers with leading zeros come up
				token, err := jose.Sign(key, a, fmt.Appendf(nil, `{"alg":%q}`, a), []byte(`{"sub":"x"}`))
				if err != nil {
					t.Fatal(err)
				}
				signed, err := verify(token, public)
				if err != nil || string(signed.Payload) != `{"sub":"x"}` {
					t.Fatalf("%v", err)
				}
				if a[0] == 'R' || a[0] == 'P' {
					break
				}
			}
		})
	}
	if _, err := jose.Sign(curve256, jose.RS256, nil, nil); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("RS256 by a key on a curve: %v", err)
	}
	if _, err := jose.Sign(signer{public: "x"}, jose.RS256, nil, nil); !errors.Is(err, jose.ErrKey) {
		t.Errorf("by a key of no kind: %v", err)
	}
}

// An ECDSA signature is ASN.1 of two numbers in the standard library, and r and s in 32 bytes each in a token.
func TestSignatureInItsForm(t *testing.T) {
	public := newEC(t, elliptic.P256()).Public()
	for _, tt := range []struct {
		name, der string
		raw       string // empty: refused
	}{
		{"small numbers", "\x30\x06\x02\x01\x05\x02\x01\x07", strings.Repeat("\x00", 31) + "\x05" + strings.Repeat("\x00", 31) + "\x07"},
		{
			"with room for a sign", "\x30\x45\x02\x21\x00\x99" + strings.Repeat("\x01", 31) + "\x02\x20" + strings.Repeat("\x02", 32),
			"\x99" + strings.Repeat("\x01", 31) + strings.Repeat("\x02", 32),
		},
		{"full numbers", "\x30\x44\x02\x20" + strings.Repeat("\x01", 32) + "\x02\x20" + strings.Repeat("\x02", 32), strings.Repeat("\x01", 32) + strings.Repeat("\x02", 32)},
		{"nothing", "", ""},
		{"raw", strings.Repeat("\x01", 64), ""},
		{"one number", "\x30\x03\x02\x01\x05", ""},
		{"three numbers", "\x30\x09\x02\x01\x05\x02\x01\x07\x02\x01\x07", ""},
		{"more behind", "\x30\x06\x02\x01\x05\x02\x01\x07\x00", ""},
		{"cut", "\x30\x06\x02\x01\x05\x02\x01", ""},
		{"too large", "\x30\x26\x02\x21" + strings.Repeat("\x01", 33) + "\x02\x01\x07", ""},
		{"another form of length", "\x30\x82\x00\x06\x02\x01\x05\x02\x01\x07", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := jose.Sign(signer{public, []byte(tt.der)}, jose.ES256, []byte(`{}`), []byte(`{}`))
			if tt.raw == "" {
				if err == nil {
					t.Error("taken")
				}
				return
			}
			if want := encode(`{}`) + "." + encode(`{}`) + "." + encode(tt.raw); err != nil || token != want {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := jose.Sign(signer{frodo(t).Public(), make([]byte, 63)}, jose.EdDSA, nil, nil); err == nil {
		t.Error("a signature that is too short was taken")
	}
}

func TestPublicJWK(t *testing.T) {
	rsa := bilboRSA(t)
	jwk, err := jose.PublicJWK(rsa.Public())
	if err != nil || mustKey(t, string(jwk)).Thumbprint() != mustKey(t, "{"+modular+"}").Thumbprint() {
		t.Errorf("RSA: %s, %v", jwk, err)
	}
	jwk, err = jose.PublicJWK(frodo(t).Public())
	if want := `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`; err != nil || string(jwk) != want { // RFC 8037 A.3
		t.Errorf("Ed25519: %s, %v", jwk, err)
	}
	curve := newEC(t, elliptic.P521())
	jwk, err = jose.PublicJWK(curve.Public())
	if err != nil || mustKey(t, string(jwk)).Thumbprint() != mustKey(t, "{"+writeEC(t, &curve.PublicKey)+"}").Thumbprint() {
		t.Errorf("P-521: %s, %v", jwk, err)
	}
}
