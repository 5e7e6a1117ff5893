package sdktest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/sdktest"
)

// jwk is a public key as it is published.
type jwk struct {
	Type  string `json:"kty"`
	ID    string `json:"kid"`
	Alg   string `json:"alg"`
	Use   string `json:"use"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
	N     string `json:"n"`
	E     string `json:"e"`
}

func published(t testing.TB, i *sdktest.Issuer) []jwk {
	t.Helper()
	_, body, _ := do(t, i, http.MethodGet, i.URL()+"/oauth2/jwks", nil)
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatalf("the key set %s: %v", body, err)
	}
	return set.Keys
}

func decode(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		t.Fatalf("%q is not base64url: %v", text, err)
	}
	return b
}

// verifies tells by the standard library alone whether the key made the token's signature.
func verifies(t testing.TB, k jwk, token string) bool {
	t.Helper()
	input, encoded, _ := cutLast(token, ".")
	signature, hash := decode(t, encoded), sha256.Sum256([]byte(input))
	switch k.Alg {
	case "ES256":
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, decode(t, k.X)...), decode(t, k.Y)...))
		if err != nil {
			t.Fatalf("parse the key: %v", err)
		}
		return len(signature) == 64 &&
			ecdsa.Verify(public, hash[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case "EdDSA":
		return ed25519.Verify(decode(t, k.X), []byte(input), signature)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, k.N)), E: int(new(big.Int).SetBytes(decode(t, k.E)).Int64())}
	if k.Alg == "PS256" {
		return rsa.VerifyPSS(public, crypto.SHA256, hash[:], signature, &rsa.PSSOptions{SaltLength: sha256.Size}) == nil
	}
	return rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], signature) == nil
}

func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	return text[:max(0, at)], text[at+1:], at >= 0
}

// parts returns header and claims of a JWT.
func parts(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	part := strings.Split(token, ".")
	if len(part) != 3 {
		t.Fatalf("%s has %d parts", token, len(part))
	}
	return members(t, string(decode(t, part[0]))), members(t, string(decode(t, part[1])))
}

func TestMintedTokensVerify(t *testing.T) {
	for _, algorithm := range []sdktest.Algorithm{sdktest.ES256, sdktest.RS256, sdktest.PS256, sdktest.EdDSA} {
		t.Run(string(algorithm), func(t *testing.T) {
			i := sdktest.New(sdktest.WithAlgorithm(algorithm), sdktest.WithLifetime(time.Minute))
			before := time.Now().Unix()
			token := i.Token("https://inventory.test", "read", "write")
			header, claims := parts(t, token)
			key := published(t, i)[0]
			if header["typ"] != "at+jwt" || header["alg"] != string(algorithm) || header["kid"] != key.ID || key.Use != "sig" {
				t.Errorf("the header is %v, the key %+v", header, key)
			}
			if !verifies(t, key, token) {
				t.Error("the signature does not verify")
			}
			if verifies(t, key, "x"+token) {
				t.Error("the signature verifies whatever is signed")
			}
			issued, _ := claims["iat"].(float64)
			if int64(issued) < before || claims["exp"] != issued+60 {
				t.Errorf("iat is %v, exp %v", claims["iat"], claims["exp"])
			}
			for name, want := range map[string]any{
				"iss": i.URL(), "sub": i.ClientID(), "client_id": i.ClientID(), "aud": "https://inventory.test", "scope": "read write",
				"cs_rev": 0.0, "cs_sec": i.Credential(i.ClientID()),
			} {
				if claims[name] != want {
					t.Errorf("%s is %v, want %v", name, claims[name], want)
				}
			}
			if jti, _ := claims["jti"].(string); len(jti) != 22 {
				t.Errorf("jti is %q", jti)
			}
		})
	}
}

func TestMintSaysWhatItIsTold(t *testing.T) {
	i := sdktest.New()
	forger := sdktest.NewKey(sdktest.EdDSA, i.Key().ID())
	for _, tt := range []struct {
		name   string
		claims sdktest.Claims
		holds  func(header, claims map[string]any) bool
	}{
		{"two audiences", sdktest.Claims{Audience: []string{"a", "b"}}, func(_, c map[string]any) bool {
			return fmt.Sprint(c["aud"]) == "[a b]"
		}},
		{"expired", sdktest.Claims{Lifetime: -time.Minute}, func(_, c map[string]any) bool {
			exp, _ := c["exp"].(float64)
			return int64(exp) < time.Now().Unix() && c["iat"] == exp-3600
		}},
		{"no exp", sdktest.Claims{Members: map[string]any{"exp": nil}}, func(_, c map[string]any) bool {
			return c["exp"] == nil && c["iat"] != nil
		}},
		{"exp is a string", sdktest.Claims{Members: map[string]any{"exp": "tomorrow"}}, func(_, c map[string]any) bool {
			return c["exp"] == "tomorrow"
		}},
		{"an actor", sdktest.Claims{Subject: "user", Members: map[string]any{"act": map[string]any{"sub": "cl_x"}}}, func(_, c map[string]any) bool {
			return fmt.Sprint(c["act"]) == "map[sub:cl_x]" && c["sub"] == "user" && c["client_id"] == i.ClientID()
		}},
		{"another typ, no kid", sdktest.Claims{Header: map[string]any{"typ": "JWT", "kid": nil}}, func(h, _ map[string]any) bool {
			_, there := h["kid"]
			return h["typ"] == "JWT" && !there
		}},
		{"raw", sdktest.Claims{RawHeader: []byte(`{"alg":"none"}`), RawPayload: []byte(`{"a":1,"a":2}`)}, func(h, c map[string]any) bool {
			return len(h) == 1 && h["alg"] == "none" && c["a"] == 2.0
		}},
		{"another key", sdktest.Claims{Key: forger}, func(h, _ map[string]any) bool {
			return h["alg"] == "EdDSA" && h["kid"] == i.Key().ID()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if header, claims := parts(t, i.Mint(tt.claims)); !tt.holds(header, claims) {
				t.Errorf("the token says %v %v", header, claims)
			}
		})
	}
	t.Run("another signature", func(t *testing.T) {
		var signed string
		token := i.Mint(sdktest.Claims{Sign: func(input []byte) []byte {
			signed = string(input)
			return []byte("forged")
		}})
		if want := signed + "." + base64.RawURLEncoding.EncodeToString([]byte("forged")); token != want {
			t.Errorf("the token is %s, want %s", token, want)
		}
	})
}

func TestOpaqueTokens(t *testing.T) {
	text, err := os.ReadFile("../testdata/secret-format.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Patterns  map[string]string
		Checksums []struct{ Text, Checksum string }
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, c := range golden.Checksums { // that this test knows the checksum
		if got := checksum(c.Text); got != c.Checksum {
			t.Errorf("checksum(%q) = %s, want %s", c.Text, got, c.Checksum)
		}
	}
	i := sdktest.New(sdktest.WithOpaqueTokens())
	jti := "5wHbWH2M8x7hHjbC5gqbHo"
	for name, token := range map[string]string{
		"token": i.MintOpaque(sdktest.Claims{TokenID: jti}), "secret": i.ClientSecret(),
	} {
		if !regexp.MustCompile("^" + golden.Patterns[name] + "$").MatchString(token) {
			t.Errorf("the %s is %s", name, token)
		}
		body := token[strings.LastIndex(token, "_")+1:]
		if at := len(body) - 6; checksum(body[:at]) != body[at:] {
			t.Errorf("the %s's checksum is %s, want %s", name, body[at:], checksum(body[:at]))
		}
		if name == "token" && !strings.HasPrefix(body, jti) {
			t.Errorf("the token %s does not begin with its id", token)
		}
	}
}

func checksum(text string) string {
	n, b := crc32.ChecksumIEEE([]byte(text)), make([]byte, 6)
	for at := 5; at >= 0; at-- {
		b[at] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[n%62]
		n /= 62
	}
	return string(b)
}

func TestKeys(t *testing.T) {
	i := sdktest.New()
	old := i.Key()
	before := i.Token("https://api.test")
	now := i.RotateKeys()
	if header, _ := parts(t, i.Token("https://api.test")); header["kid"] != now.ID() || now.ID() == old.ID() {
		t.Errorf("after the rotation the kid is %v, want %s", header["kid"], now.ID())
	}
	if keys := published(t, i); len(keys) != 2 || !verifies(t, keys[0], before) {
		t.Errorf("after the rotation %d keys are published, or the old one is not", len(keys))
	}
	next := sdktest.NewKey(sdktest.RS256, "next")
	i.PublishKey(next)
	if header, _ := parts(t, i.Token("https://api.test")); header["kid"] != now.ID() {
		t.Errorf("a published key signs")
	}
	i.WithdrawKey(old.ID())
	if keys := published(t, i); len(keys) != 2 || keys[0].ID != now.ID() || keys[1].ID != "next" {
		t.Errorf("the keys are %+v", keys)
	}
}

func TestForeignIssuer(t *testing.T) {
	i := sdktest.New(sdktest.WithoutFeed(), sdktest.WithOpenIDConfiguration(), sdktest.WithPath("/realms/one"), sdktest.WithMaxAge(0))
	origin := strings.TrimSuffix(i.URL(), "/realms/one")
	status, body, header := do(t, i, http.MethodGet, i.URL()+"/.well-known/openid-configuration", nil)
	if status != 200 || strings.Contains(body, "countersign") || header.Get("Cache-Control") != "" {
		t.Errorf("metadata is %d %s with %v", status, body, header)
	}
	for _, address := range []string{origin + "/.well-known/oauth-authorization-server/realms/one", i.URL() + "/oauth2/revocations"} {
		if status, _, _ := do(t, i, http.MethodGet, address, nil); status != http.StatusNotFound {
			t.Errorf("%s answers %d", address, status)
		}
	}
	if _, claims := parts(t, i.Token("a")); claims["cs_rev"] != nil || claims["cs_sec"] != nil {
		t.Errorf("the claims are %v", claims)
	}
	opaque := i.MintOpaque(sdktest.Claims{})
	_, body, header = do(t, i, http.MethodPost, i.URL()+"/oauth2/introspect", url.Values{"token": {opaque}})
	if strings.HasPrefix(opaque, "cs_at_") || strings.Contains(body, "countersign") || !strings.Contains(body, `"active":true`) ||
		header.Get("Cache-Control") != "" {
		t.Errorf("of the token %s introspection says %s with %v", opaque, body, header)
	}
	i.Revoke(opaque)
	if _, body, _ = do(t, i, http.MethodPost, i.URL()+"/oauth2/introspect", url.Values{"token": {opaque}}); body != `{"active":false}` {
		t.Errorf("of a revoked token introspection says %s", body)
	}
}
