package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// publicKey returns the issuer's key by which an ES256 JWT was signed.
func publicKey(b *testing.B, client *http.Client, issuer, token string) *ecdsa.PublicKey {
	b.Helper()
	response, err := client.Get(issuer + "/oauth2/jwks")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var set struct{ Keys []struct{ Kid, X, Y string } }
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		b.Fatal(err)
	}
	text, _, _ := strings.Cut(token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		b.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(decoded, &header); err != nil {
		b.Fatal(err)
	}
	for _, key := range set.Keys {
		if key.Kid != header.Kid {
			continue
		}
		x, _ := base64.RawURLEncoding.DecodeString(key.X)
		y, _ := base64.RawURLEncoding.DecodeString(key.Y)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			b.Fatal(err)
		}
		return public
	}
	b.Fatalf("the issuer has no key %s", header.Kid)
	return nil
}
