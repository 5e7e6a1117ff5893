package proof_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

func TestParseKey(t *testing.T) {
	curve, edwards, modular := newP256(t), newEd25519(t), newRSA(t, 2048)
	sec1, err := x509.MarshalECPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	parameters := block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	for _, tt := range []struct {
		name, text string
		options    proof.KeyOptions
		of         crypto.Signer
		algorithm  jose.Algorithm
		id         string // empty: the thumbprint
	}{
		{name: "PKCS #8, P-256", text: pkcs8(t, curve), of: curve, algorithm: jose.ES256},
		{name: "PKCS #8, Ed25519", text: pkcs8(t, edwards), of: edwards, algorithm: jose.EdDSA},
		{name: "PKCS #8, RSA", text: pkcs8(t, modular), of: modular, algorithm: jose.PS256},
		{name: "SEC 1", text: block("EC PRIVATE KEY", sec1), of: curve, algorithm: jose.ES256},
		{name: "SEC 1 behind parameters", text: parameters + block("EC PRIVATE KEY", sec1), of: curve, algorithm: jose.ES256},
		{name: "PKCS #1", text: block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(modular)), of: modular, algorithm: jose.PS256},
		{
			name: "options", text: pkcs8(t, modular), of: modular, options: proof.KeyOptions{Algorithm: jose.RS256, ID: "2026"},
			algorithm: jose.RS256, id: "2026",
		},
		{name: "JWK, P-256", text: privateJWK(t, curve, ""), of: curve, algorithm: jose.ES256},
		{name: "JWK, Ed25519", text: "\n" + privateJWK(t, edwards, `,"alg":"Ed25519"`) + "\n", of: edwards, algorithm: jose.EdDSA},
		{
			name: "JWK, RSA", text: privateJWK(t, modular, `,"alg":"RS256","kid":"a\"b","use":"sig","key_ops":["sign"]`),
			of: modular, algorithm: jose.RS256, id: `a"b`,
		},
		{
			name: "JWK, options", text: privateJWK(t, modular, `,"alg":"RS256","kid":"a"`), of: modular,
			options: proof.KeyOptions{Algorithm: jose.PS256, ID: "b"}, algorithm: jose.PS256, id: "b",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := proof.ParseKey([]byte(tt.text), tt.options)
			if err != nil {
				t.Fatal(err)
			}
			want, err := jose.FromPublic(tt.of.Public())
			if err != nil {
				t.Fatal(err)
			}
			if tt.id == "" {
				tt.id = want.Thumbprint()
			}
			if key.Thumbprint() != want.Thumbprint() || key.Algorithm() != tt.algorithm || key.ID() != tt.id {
				t.Errorf("got %s, %s, %s", key.Thumbprint(), key.Algorithm(), key.ID())
			}
			registered := public(t, key)
			if registered.ID() != tt.id || registered.Thumbprint() != want.Thumbprint() || fmt.Sprint(registered.Algorithms()) != fmt.Sprintf("[%s]", tt.algorithm) {
				t.Errorf("to be registered: %s", key.PublicJWK())
			}
		})
	}
}

func TestParseKeyRefuses(t *testing.T) {
	curve, edwards, modular := newP256(t), newEd25519(t), newRSA(t, 2048)
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(curve.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicJWK, err := jose.PublicJWK(curve.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk := privateJWK(t, curve, "")
	swap := func(text, member, value string) string { // replaces the value of a member
		front, rest, _ := strings.Cut(text, `"`+member+`":"`)
		_, rest, _ = strings.Cut(rest, `"`)
		return front + `"` + member + `":"` + value + `"` + rest
	}
	for _, tt := range []struct{ name, text, says string }{
		{"nothing", "", "neither a PEM block nor a JWK"},
		{"a certificate alone", block("CERTIFICATE", []byte("x")), "of a private key"},
		{"text", "secret", "neither a PEM block nor a JWK"},
		{"two keys", pkcs8(t, curve) + pkcs8(t, edwards), "more than one key"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte("x")), "is encrypted"},
		{"public PEM", block("PUBLIC KEY", publicDER), `"PUBLIC KEY", not a private key`},
		{"broken PEM", block("PRIVATE KEY", []byte("x")), "cannot be read"},
		{"P-384", pkcs8(t, large), "algorithm not allowed"},
		{"RSA of 1024 bits", pkcs8(t, newRSA(t, 1024)), "2048"},
		{"public JWK", string(publicJWK), "it is a public key"},
		{"no JSON", jwk + "x", "JWK"},
		{"member twice", strings.TrimSuffix(jwk, "}") + `,"kty":"EC"}`, "JWK"},
		{"member of another kind", strings.Replace(jwk, `"kty":"EC"`, `"kty":7`, 1), "member kty"},
		{"shared secret", `{"kty":"oct","k":"AAAA"}`, "a shared secret"},
		{"for encryption", privateJWK(t, curve, `,"use":"enc"`), "not for signing"},
		{"for checking", privateJWK(t, curve, `,"key_ops":["verify"]`), "not for signing"},
		{"another public half", swap(jwk, "x", encode(make([]byte, 32))), "do not belong together"},
		{"spare bits", swap(jwk, "d", strings.Repeat("A", 42)+"B"), "canonical"},
		{"short d", swap(jwk, "d", "AAAA"), "canonical"},
		{"d is 0", swap(jwk, "d", encode(make([]byte, 32))), "do not belong together"},
		{"another curve", swap(jwk, "crv", "P-384"), "crv is not P-256"},
		{"Ed448", swap(privateJWK(t, edwards, ""), "crv", "Ed448"), "crv is not Ed25519"},
		{"another dp", swap(privateJWK(t, modular, ""), "dp", "Aw"), "do not belong together"},
		{"another prime", swap(privateJWK(t, modular, ""), "p", "Aw"), "do not belong together"},
		{"no primes", swap(privateJWK(t, modular, ""), "p", ""), "member p is missing"},
		{"three primes", privateJWK(t, modular, `,"oth":[]`), "more than two primes"},
		{"alg of another kind", privateJWK(t, curve, `,"alg":"RS256"`), "algorithm not allowed"},
		{"alg that is not ours", privateJWK(t, modular, `,"alg":"RS512"`), "algorithm not allowed"},
		{"long kid", privateJWK(t, curve, `,"kid":"`+strings.Repeat("k", 257)+`"`), "longer than 256 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := proof.ParseKey([]byte(tt.text), proof.KeyOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// A key is made of a signer of which nothing but Public and Sign is known, as in a security module.
func TestAKeyElsewhere(t *testing.T) {
	key := newKey(t, module{newP256(t)}, proof.KeyOptions{})
	token, err := key.Assertion("cl_1", "https://auth.test")
	if err != nil {
		t.Fatal(err)
	}
	read(t, token, public(t, key))
	if _, err := newKey(t, broken{module{newP256(t)}}, proof.KeyOptions{}).Assertion("cl_1", "https://auth.test"); err == nil || !strings.Contains(err.Error(), "the module is away") {
		t.Errorf("got %v", err)
	}
}

type module struct{ key crypto.Signer }

func (m module) Public() crypto.PublicKey { return m.key.Public() }
func (m module) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return m.key.Sign(random, digest, o)
}

type broken struct{ module }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, fmt.Errorf("the module is away")
}

func TestAKeyIsNotPrinted(t *testing.T) {
	private := newP256(t)
	key := newKey(t, private, proof.KeyOptions{})
	var out bytes.Buffer
	holder := struct {
		Key *proof.Key
		Own proof.Key
	}{key, *key}
	fmt.Fprintf(&out, "%v %+v %#v %s %x %v %+v %#v", key, key, key, key, key, *key, holder, holder)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "key", key, "holder", holder)
	if err := json.NewEncoder(&out).Encode(holder); err != nil {
		t.Fatal(err)
	}
	raw, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d := private.D
	for _, secret := range []string{encode(raw), fmt.Sprintf("%x", raw), d.String()} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("printed %s", out.String())
		}
	}
	if strings.Count(out.String(), "[redacted]") < 6 {
		t.Errorf("printed %s", out.String())
	}
}
