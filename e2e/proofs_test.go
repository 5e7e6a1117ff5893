package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/sdk/proof"
)

// What the SDK signs is read by libraries that share no code with it: go-jose and golang-jwt.
func TestForeignLibrariesReadWhatTheSDKSigns(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modular, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for algorithm, private := range map[jose.SignatureAlgorithm]crypto.Signer{
		jose.ES256: curve, jose.EdDSA: edwards, jose.PS256: modular, jose.RS256: modular,
	} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			// The private key goes through a foreign JWK, too.
			text, err := jose.JSONWebKey{Key: private, KeyID: "k1", Algorithm: string(algorithm), Use: "sig"}.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			key, err := proof.ParseKey(text, proof.KeyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			foreignAssertion(t, key, algorithm)
			foreignProof(t, key, algorithm)
		})
	}
}

func foreignAssertion(t *testing.T, key *proof.Key, algorithm jose.SignatureAlgorithm) {
	t.Helper()
	var registered jose.JSONWebKey
	if err := registered.UnmarshalJSON(key.PublicJWK()); err != nil || !registered.IsPublic() || registered.KeyID != "k1" {
		t.Fatalf("%v: registered with %s", err, key.PublicJWK())
	}
	text, err := key.Assertion("cl_1", "https://auth.example.com")
	if err != nil {
		t.Fatal(err)
	}
	read, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return registered.Key, nil },
		jwt.WithValidMethods([]string{string(algorithm)}), jwt.WithAudience("https://auth.example.com"), jwt.WithIssuer("cl_1"), jwt.WithSubject("cl_1"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(time.Second))
	if err != nil || read.Header["kid"] != "k1" || read.Header["typ"] != "client-authentication+jwt" {
		t.Errorf("golang-jwt: %v, header %v", err, read.Header)
	}
	signed, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		t.Fatalf("go-jose: %v", err)
	}
	if _, err := signed.Verify(registered); err != nil {
		t.Errorf("go-jose: %v", err)
	}
}

func foreignProof(t *testing.T, key *proof.Key, algorithm jose.SignatureAlgorithm) {
	t.Helper()
	text, err := key.DPoP(proof.Use{
		Method: "POST", URL: &url.URL{Scheme: "https", Host: "api.example.com", Path: "/x", RawQuery: "y"}, AccessToken: "token", Nonce: "n",
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		t.Fatalf("go-jose: %v", err)
	}
	embedded := signed.Signatures[0].Protected.JSONWebKey
	if embedded == nil || !embedded.IsPublic() || signed.Signatures[0].Protected.ExtraHeaders["typ"] != "dpop+jwt" {
		t.Fatalf("header %+v", signed.Signatures[0].Protected)
	}
	payload, err := signed.Verify(embedded)
	if err != nil {
		t.Fatalf("go-jose: %v", err)
	}
	thumbprint, err := embedded.Thumbprint(crypto.SHA256)
	if err != nil || base64.RawURLEncoding.EncodeToString(thumbprint) != key.Thumbprint() {
		t.Errorf("%v: the thumbprint is not %s", err, key.Thumbprint())
	}
	hash := sha256.Sum256([]byte("token"))
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"htm": "POST", "htu": "https://api.example.com/x", "nonce": "n", "ath": base64.RawURLEncoding.EncodeToString(hash[:]),
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
}
