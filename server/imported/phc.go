package imported

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Bounds on what a hash may ask for. They are above what Hash has ever used, and low enough that no row of the database can make a
// server run out of memory.
const (
	maxMemory  = 64 << 10 // KiB
	maxTime    = 8
	maxThreads = 4
	minSalt    = 8  // bytes, as RFC 9106 §3.1 has it
	maxSalt    = 64 // bytes
	minSum     = 16 // bytes
	maxSum     = 64 // bytes
)

// hashed is an argon2id hash with all that it was made from but the value.
type hashed struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
	salt    []byte
	sum     []byte
}

var errNoHash = errors.New("no argon2id hash of version 19 in PHC form with bounded parameters")

// parse reads the PHC form, `$argon2id$v=19$m=…,t=…,p=…$salt$sum`, strictly: text writes what parse read, byte by byte.
func parse(phc string) (h hashed, err error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return hashed{}, errNoHash
	}
	parameters := strings.Split(parts[3], ",")
	if len(parameters) != 3 {
		return hashed{}, errNoHash
	}
	memory, ok1 := parameter(parameters[0], "m=", maxMemory)
	passes, ok2 := parameter(parameters[1], "t=", maxTime)
	threads, ok3 := parameter(parameters[2], "p=", maxThreads)
	if !ok1 || !ok2 || !ok3 || memory < 8*threads { // RFC 9106 §3.1
		return hashed{}, errNoHash
	}
	h = hashed{memory: memory, time: passes, threads: uint8(threads)} //nolint:gosec // at most maxThreads
	var okSalt, okSum bool
	h.salt, okSalt = octets(parts[4], minSalt, maxSalt)
	h.sum, okSum = octets(parts[5], minSum, maxSum)
	if !okSalt || !okSum {
		return hashed{}, errNoHash
	}
	return h, nil
}

// parameter reads a number from 1 to most behind its name, without leading zeros.
func parameter(text, name string, most uint32) (uint32, bool) {
	digits, named := strings.CutPrefix(text, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !named || err != nil || n < 1 || n > uint64(most) || strconv.FormatUint(n, 10) != digits {
		return 0, false
	}
	return uint32(n), true
}

// octets reads base64 without padding.
func octets(text string, least, most int) ([]byte, bool) {
	if len(text) > base64.RawStdEncoding.EncodedLen(most) || strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return nil, false
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	return b, err == nil && len(b) >= least
}

// text writes the PHC form.
func (h hashed) text() string {
	number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	return "$argon2id$v=" + strconv.Itoa(argon2.Version) +
		"$m=" + number(h.memory) + ",t=" + number(h.time) + ",p=" + number(uint32(h.threads)) +
		"$" + base64.RawStdEncoding.EncodeToString(h.salt) + "$" + base64.RawStdEncoding.EncodeToString(h.sum)
}
