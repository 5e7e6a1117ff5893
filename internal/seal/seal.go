// Package seal keeps secrets at rest: AES-256-GCM under the master key, and the file that holds that key.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	keySize = 32
	prefix  = "cs_master_" // so that scanners find a leaked key
	// formatGCM is the first byte of what Seal returns: AES-256-GCM, then a random nonce of 96 bits, ciphertext and tag.
	formatGCM = 1
)

// ErrOpen says that sealed data is of another key or row, or damaged. Which of them cannot be told.
var ErrOpen = errors.New("does not open under this master key")

// Key is the master key. It prints as [redacted] in every form; its bytes cannot be had back from it. The zero Key opens
// nothing and must not seal. Its methods may be called by any number of goroutines.
type Key struct {
	aead   cipher.AEAD
	source string
}

// ParseKey reads the text form of a key: `cs_master_` and 43 characters of base64url (RFC 4648 §5, without padding), 256
// bits in all. White space around it is ignored. Errors do not repeat the text.
func ParseKey(text string) (Key, error) { return parse(text, "the setting") }

func parse(text, source string) (Key, error) {
	digits, found := strings.CutPrefix(strings.TrimSpace(text), prefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(digits)
	if !found || err != nil || len(raw) != keySize {
		return Key{}, fmt.Errorf("master key from %s: must be %s and 43 characters of base64url on one line", source, prefix)
	}
	return newKey(raw, source)
}

func newKey(raw []byte, source string) (Key, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return Key{}, fmt.Errorf("master key from %s: %w", source, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, fmt.Errorf("master key from %s: %w", source, err)
	}
	return Key{aead: aead, source: source}, nil
}

// Source says where the key came from, for messages to the operator: the path of its file, or "the setting".
func (k Key) Source() string { return k.source }

// Seal encrypts plain. aad says what it is, such as the identity of its row: Open fails for any other. Under one key about
// 2³² messages may be sealed before random nonces come too close to repeating.
func (k Key) Seal(plain, aad []byte) []byte {
	return k.aead.Seal([]byte{formatGCM}, nil, plain, bound(aad)) //nolint:gosec // the AEAD makes its own random nonce
}

// Open returns what was sealed with the same aad, or ErrOpen.
func (k Key) Open(sealed, aad []byte) ([]byte, error) {
	if k.aead == nil || len(sealed) == 0 || sealed[0] != formatGCM {
		return nil, ErrOpen
	}
	plain, err := k.aead.Open(nil, nil, sealed[1:], bound(aad))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// bound makes the format byte part of what is authenticated.
func bound(aad []byte) []byte { return append([]byte{formatGCM}, aad...) }

const redacted = "[redacted]"

// Format implements fmt.Formatter, so that no verb shows the key.
func (k Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// String implements fmt.Stringer without the key.
func (k Key) String() string { return redacted }

// GoString implements fmt.GoStringer without the key.
func (k Key) GoString() string { return redacted }

// LogValue implements slog.LogValuer without the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the key out of every encoding that goes by it.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
