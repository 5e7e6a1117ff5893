package sdktest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math/big"
)

// The digits are in the order of ASCII, as docs/secrets.md has it.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	idDigits  = 22 // 128 bits
	keyDigits = 43 // 256 bits
	crcDigits = 6  // 32 bits
)

// base62 returns the number in exactly width digits.
func base62(number []byte, width int) string {
	text := make([]byte, width)
	n, base, digit := new(big.Int).SetBytes(number), big.NewInt(int64(len(digits))), new(big.Int)
	for at := width - 1; at >= 0; at-- {
		n.DivMod(n, base, digit)
		text[at] = digits[digit.Int64()]
	}
	return string(text)
}

// checksum returns CRC-32 of text in six digits.
func checksum(text string) string {
	return base62(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text))), crcDigits)
}

// newID returns the prefix and a fresh id of 128 bits.
func newID(prefix string) string { return prefix + base62(random(16), idDigits) }

// idOf returns an id that follows from the name, so that everybody who knows the name knows the id.
func idOf(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + base62(sum[:16], idDigits)
}

// newSecret returns a client secret.
func newSecret() string {
	text := base62(random(32), keyDigits)
	return "cs_secret_" + text + checksum(text)
}

// newOpaque returns the opaque token that has this id, which must be of 22 digits.
func newOpaque(id string) string {
	text := id + base62(random(32), keyDigits)
	return "cs_at_" + text + checksum(text)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return b
}
