// Package imported keeps secrets that were brought from outside. Nobody knows how well those were chosen, so they are hashed by
// argon2id (RFC 9106), which is slow on purpose; what makes that bearable for a server is here too.
package imported

import (
	"crypto/rand"
	"crypto/subtle"

	"golang.org/x/crypto/argon2"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// How Hash hashes: what OWASP's Password Storage Cheat Sheet asks for at least. The recommendations of RFC 9106 §4 take 64 MiB and more
// for each hash, which a server that anybody can ask cannot give. These take some 30 ms of one processor.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	threads = 1
	salt    = 16 // bytes
	sum     = 32 // bytes
)

// Hash returns the argon2id hash of v in PHC form, with a fresh salt. It returns fault.InvalidRequest if v is not Importable.
func Hash(v auth.SecretValue) (phc string, err error) {
	if !v.Importable() {
		return "", fault.New(fault.InvalidRequest, "must be 16 to 256 printable characters of ASCII without space, and not begin like the secrets that are made here").At("value")
	}
	h := hashed{memory: memory, time: passes, threads: threads, salt: make([]byte, salt)}
	_, _ = rand.Read(h.salt) // never fails: crypto/rand
	h.sum = h.of(v, sum)
	return h.text(), nil
}

func (h hashed) of(v auth.SecretValue, length uint32) []byte {
	return argon2.IDKey([]byte(v.Reveal()), h.salt, h.time, h.memory, h.threads, length)
}

// proves reports whether v is the value that was hashed.
func (h hashed) proves(v auth.SecretValue) bool {
	return subtle.ConstantTimeCompare(h.of(v, uint32(len(h.sum))), h.sum) == 1 //nolint:gosec // at most maxSum
}
