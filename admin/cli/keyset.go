package cli

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/countersign/countersign/sdk/jose"
)

// readKeySet reads public keys from a file: a JWK set, a JWK, or PEM with public keys or certificates. Keys without kid get their thumbprint (RFC 7638)
// as one. What holds a private key is not sent anywhere.
func readKeySet(file string) (map[string]any, error) {
	text, err := os.ReadFile(file) //nolint:gosec // G304: the user names it
	if err != nil {
		return nil, usagef("--jwks-file: %v", err)
	}
	if len(text) > jose.MaxKeySet {
		return nil, usagef("--jwks-file: %s has more than %d bytes", file, jose.MaxKeySet)
	}
	var keys []map[string]any
	set := map[string]any{}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		set, keys, err = jwksOf(text)
	} else {
		keys, err = pemKeys(text)
	}
	if err != nil {
		return nil, usagef("--jwks-file: %s %v", file, err)
	}
	list := make([]any, len(keys))
	for i, key := range keys {
		list[i] = namedKey(key)
	}
	set["keys"] = list
	return set, nil
}

var errPrivateKey = errors.New("holds a private key; nothing was sent. Give the public half alone: `openssl pkey -in FILE -pubout` writes it; or the certificate")

// setKeys sets the member jwks to the keys in a file, or to null where the flag names none.
func setKeys(members map[string]any, file string) error {
	members["jwks"] = nil
	if file == "" {
		return nil
	}
	keys, err := readKeySet(file)
	if err == nil {
		members["jwks"] = keys
	}
	return err
}

// jwksOf reads a JWK set or a JWK.
func jwksOf(text []byte) (set map[string]any, keys []map[string]any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&set); err != nil || decoder.More() {
		return nil, nil, errors.New("is neither JSON nor PEM")
	}
	list, is := set["keys"].([]any)
	if !is {
		if set["kty"] == nil {
			return nil, nil, errors.New("is no JWK set, which has a member keys, and no JWK, which has a member kty")
		}
		set, list = map[string]any{}, []any{set}
	}
	for _, member := range list {
		key, is := member.(map[string]any)
		if !is {
			return nil, nil, errors.New("has a key that is no object")
		}
		for name := range key {
			if jose.PrivateMember(name) {
				return nil, nil, errPrivateKey
			}
		}
		keys = append(keys, key)
	}
	return set, keys, nil
}

// pemKeys reads public keys and certificates.
func pemKeys(text []byte) (keys []map[string]any, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var public crypto.PublicKey
		var certificates []any
		switch {
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, errPrivateKey
		case block.Type == "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case block.Type == "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case block.Type == "CERTIFICATE":
			var certificate *x509.Certificate
			if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
				public, certificates = certificate.PublicKey, []any{base64.StdEncoding.EncodeToString(block.Bytes)}
			}
		default:
			return nil, fmt.Errorf("holds a %s: allowed are PUBLIC KEY and CERTIFICATE", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("holds a %s that cannot be read: %w", block.Type, err)
		}
		jwk, err := jose.PublicJWK(public)
		if err != nil {
			return nil, fmt.Errorf("holds a %s that cannot be used: %w", block.Type, err)
		}
		key := map[string]any{}
		if err := json.Unmarshal(jwk, &key); err != nil {
			return nil, fmt.Errorf("encode the key: %w", err)
		}
		if certificates != nil {
			key["x5c"] = certificates
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key: allowed are a JWK set, a JWK, and PEM with public keys or certificates")
	}
	return keys, nil
}

// namedKey gives a key that has none a kid, by which signers of ours name it.
func namedKey(key map[string]any) map[string]any {
	if key["kid"] != nil {
		return key
	}
	text, err := json.Marshal(key)
	if err != nil {
		return key
	}
	if parsed, err := jose.ParseKey(text); err == nil {
		key["kid"] = parsed.Thumbprint()
	}
	return key
}
