package auth

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"sync"
)

// The digits are in ASCII order, so that text of fixed width sorts as the number does.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	base      = 62
	idDigits  = 22 // 62^22 > 2^128
	keyDigits = 43 // 62^43 > 2^256
	crcDigits = 6  // 62^6 > 2^32
	notADigit = 0xff

	// A word holds that many digits: numbers are divided by 62^10, and only what is left over by 62.
	wordDigits = 10
	wordBase   = base * base * base * base * base * base * base * base * base * base
)

func digitValue(digit byte) byte {
	switch {
	case '0' <= digit && digit <= '9':
		return digit - '0'
	case 'A' <= digit && digit <= 'Z':
		return digit - 'A' + 10
	case 'a' <= digit && digit <= 'z':
		return digit - 'a' + 36
	}
	return notADigit
}

// appendBase62 appends n, a big-endian number, in exactly width digits.
func appendBase62(dst, n []byte, width int) []byte {
	var words [4]uint64
	limbs := words[:len(n)/8]
	for i := range limbs {
		limbs[i] = binary.BigEndian.Uint64(n[i*8:])
	}
	start := len(dst)
	dst = append(dst, make([]byte, width)...)
	for end := start + width; end > start; {
		var rest uint64
		for k := range limbs {
			limbs[k], rest = bits.Div64(rest, limbs[k], wordBase)
		}
		from := max(start, end-wordDigits)
		for i := end - 1; i >= from; i-- {
			dst[i] = digits[rest%base]
			rest /= base
		}
		end = from
	}
	return dst
}

// parseBase62 fills n, a big-endian number, from text. It reports false for a foreign digit or a number too large for n,
// so that every number has exactly one text.
func parseBase62(n []byte, text string) bool {
	var words [4]uint64
	limbs := words[:len(n)/8]
	for len(text) > 0 {
		word := text[:min(wordDigits, len(text))]
		text = text[len(word):]
		scale, carry := uint64(1), uint64(0)
		for i := range len(word) {
			value := digitValue(word[i])
			if value == notADigit {
				return false
			}
			scale, carry = scale*base, carry*base+uint64(value)
		}
		for k := len(limbs) - 1; k >= 0; k-- {
			high, low := bits.Mul64(limbs[k], scale)
			sum, c := bits.Add64(low, carry, 0)
			limbs[k], carry = sum, high+c
		}
		if carry != 0 {
			return false
		}
	}
	for i, limb := range limbs {
		binary.BigEndian.PutUint64(n[i*8:], limb)
	}
	return true
}

// scratch is memory for text that is hashed: what a hash is given leaves the stack.
type scratch [128]byte

//nolint:gochecknoglobals // memory that is used again, and is cleared before
var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) } //nolint:errcheck,forcetypeassert // nothing else is in the pool

func (s *scratch) free() {
	clear(s[:])
	scratches.Put(s)
}

// appendChecksum appends the six digits of CRC-32 (IEEE) over text, which is not on the stack.
func appendChecksum(dst []byte, text []byte) []byte {
	sum := crc32.ChecksumIEEE(text)
	start := len(dst)
	dst = append(dst, make([]byte, crcDigits)...)
	for i := start + crcDigits - 1; i >= start; i-- {
		dst[i] = digits[sum%base]
		sum /= base
	}
	return dst
}

// checksumHolds reports whether the last six digits of text are the checksum of what stands before them.
func checksumHolds(text string) bool {
	buffer := newScratch()
	defer buffer.free()
	body := append(buffer[:0], text[:len(text)-crcDigits]...)
	var want [crcDigits]byte
	return string(appendChecksum(want[:0], body)) == text[len(text)-crcDigits:]
}
