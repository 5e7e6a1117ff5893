package record

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

const (
	digits    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idDigits  = 22 // 62^22 > 2^128
	apiPrefix = "api_"
)

// text returns the text form of the id that b begins with: the prefix and 22 base62 digits.
func text(prefix string, b []byte) string {
	high, low := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	var id [idDigits]byte
	for i := idDigits - 1; i >= 0; i-- {
		var rest uint64
		high, rest = high/uint64(len(digits)), high%uint64(len(digits))
		low, rest = bits.Div64(rest, low, uint64(len(digits)))
		id[i] = digits[rest]
	}
	return prefix + string(id[:])
}

// parseAPI returns the id of an API from its one text form.
func parseAPI(api string) (id [16]byte, err error) {
	number, ok := strings.CutPrefix(api, apiPrefix)
	if !ok || len(number) != idDigits {
		return id, fmt.Errorf("id of an API %q: must be %s and %d base62 digits", api, apiPrefix, idDigits)
	}
	var high, low uint64
	for _, digit := range []byte(number) {
		value := strings.IndexByte(digits, digit)
		over, up := bits.Mul64(high, uint64(len(digits)))
		carry, sum := bits.Mul64(low, uint64(len(digits)))
		var c1, c2 uint64
		low, c1 = bits.Add64(sum, uint64(max(value, 0)), 0)
		high, c2 = bits.Add64(up, carry, c1)
		if value < 0 || over != 0 || c2 != 0 {
			return id, fmt.Errorf("id of an API %q: must be %s and %d base62 digits of a number of 128 bits", api, apiPrefix, idDigits)
		}
	}
	binary.BigEndian.PutUint64(id[:], high)
	binary.BigEndian.PutUint64(id[8:], low)
	return id, nil
}
