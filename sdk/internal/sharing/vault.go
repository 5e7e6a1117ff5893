package sharing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// version is the first byte of a record. Another one is not ours to read.
const version = 1

// vault encrypts and names the record of one token.
type vault struct {
	aead    cipher.AEAD // the nonce is random, in front of the text
	binding []byte
	name    string
	lease   string
}

// newVault derives its keys from a secret: one that encrypts and one that names. A name cannot be told without the secret, and instances
// with an old and a new secret use different ones, so that they do not overwrite each other's records.
func newVault(material, binding []byte) (*vault, error) {
	encrypt, err := hkdf.Key(sha256.New, material, nil, "countersign sdk shared token: encryption", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	naming, err := hkdf.Key(sha256.New, material, nil, "countersign sdk shared token: name", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(encrypt)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	mac := hmac.New(sha256.New, naming)
	mac.Write(binding)
	name := "countersign-sdk:" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
	return &vault{aead: aead, binding: binding, name: name, lease: name + ":lease"}, nil
}

// binding is what a record is for: no two things have the same.
func binding(c *Config, holder string) []byte {
	var text []byte
	kind := "countersign sdk shared token"
	if holder != "" {
		kind += " bound to " + holder
	}
	for _, part := range append([]string{kind, c.Issuer, c.ClientID, c.Resource}, c.Scopes...) {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	return text
}

func (v *vault) seal(plain []byte) []byte {
	return v.aead.Seal([]byte{version}, nil, plain, v.binding) //nolint:gosec // G407: the nonce is random, see aead
}

func (v *vault) unseal(record []byte) ([]byte, error) {
	if len(record) == 0 || record[0] != version {
		return nil, fmt.Errorf("%w: it is of another version", errRecord)
	}
	plain, err := v.aead.Open(nil, nil, record[1:], v.binding)
	if err != nil {
		return nil, fmt.Errorf("%w: it was not written with this secret for this token", errRecord)
	}
	return plain, nil
}
