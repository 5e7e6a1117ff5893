package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"log/slog"
	"sync"
	"time"
)

// Status says whether a client or a secret is in use.
type Status string

// The states of a client or a secret.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
)

// Secret is one of a client's secrets. Several may be valid at once, so that a client rotates without downtime. Its value
// is shown once, when it is made; only Hash is kept.
type Secret struct {
	ID       SecretID
	Client   ClientID
	Revision int64
	// Hash is HMAC-SHA-256 of the value under the pepper of version Pepper: the value holds 256 random bits, so that a
	// password hash would cost a thousand times more and add nothing.
	Hash   [sha256.Size]byte
	Pepper uint32
	// Imported is the argon2id hash, in PHC form, of a value that was brought from outside; empty for one that this server made.
	// Hash and Pepper are not set then.
	Imported string
	Hint     string // the value's last four characters before its checksum; of an imported one nothing
	Status   Status
	Created  time.Time
	Expires  time.Time // zero: never
	// By is the credential with which whoever made it had authenticated; zero: the system. If that one turns out to be stolen, what it
	// made is not to be trusted either.
	By SecretID
}

// Usable reports whether the secret may authenticate its client at now.
func (s *Secret) Usable(now time.Time) bool {
	return s.Status == Active && (s.Expires.IsZero() || now.Before(s.Expires))
}

const (
	secretPrefix = "cs_secret_"
	secretLength = len(secretPrefix) + keyDigits + crcDigits
)

// SecretValue is the plain text of a secret: `cs_secret_`, 43 base62 digits (256 random bits), and six base62 digits of
// CRC-32 over those 43. It prints as [redacted]; Reveal is the only way to its text.
type SecretValue struct{ text string }

// NewSecretValue makes a value from the system's random source.
func NewSecretValue() SecretValue {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand
	buffer := newScratch()
	defer buffer.free()
	text := append(buffer[:0], secretPrefix...)
	text = appendBase62(text, random[:], keyDigits)
	return SecretValue{string(appendChecksum(text, text[len(secretPrefix):]))}
}

// PresentedSecret wraps what a caller sent as its secret.
func PresentedSecret(text string) SecretValue { return SecretValue{text} }

// Reveal returns the text, for the one answer that shows it.
func (v SecretValue) Reveal() string { return v.text }

// String implements fmt.Stringer without the text.
func (v SecretValue) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer without the text.
func (v SecretValue) GoString() string { return "[redacted]" }

// LogValue implements slog.LogValuer without the text.
func (v SecretValue) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText keeps the text out of every encoding that goes by it.
func (v SecretValue) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// WellFormed reports whether the value can be one that this server made: a mistyped or truncated one is refused without a look-up.
func (v SecretValue) WellFormed() bool {
	return len(v.text) == secretLength && v.text[:len(secretPrefix)] == secretPrefix && checksumHolds(v.text[len(secretPrefix):])
}

// Hint returns the last four characters before the checksum, by which people tell secrets apart.
func (v SecretValue) Hint() string {
	end := len(v.text) - crcDigits
	return v.text[end-4 : end]
}

// Peppers are the keys under which secrets are hashed, by version. They are immutable.
type Peppers struct {
	all     []*pepper
	current *pepper // nil: there are none
}

// pepper is one of the keys, with hashes that have taken it in already: that is half of the work of HMAC on a short text.
type pepper struct {
	version uint32
	ready   sync.Pool // of *keyedHash
}

// keyedHash is HMAC-SHA-256 under a pepper, with memory for what goes in and out.
type keyedHash struct {
	mac  hash.Hash
	text [MaxImported]byte
	sum  [sha256.Size]byte
}

// NewPeppers takes the keys by version; the highest version hashes new secrets.
func NewPeppers(keys map[uint32][]byte) *Peppers {
	p := &Peppers{}
	for version, key := range keys {
		one := &pepper{version: version, ready: sync.Pool{New: func() any { return &keyedHash{mac: hmac.New(sha256.New, key)} }}}
		p.all = append(p.all, one)
		if p.current == nil || p.current.version < version {
			p.current = one
		}
	}
	return p
}

// Hash returns the keyed hash of v under the newest pepper, and that pepper's version.
func (p *Peppers) Hash(v SecretValue) (sum [sha256.Size]byte, version uint32) {
	return p.current.hash(v), p.current.version
}

// Hashes returns the keyed hash of v under each pepper, for looking a value up.
func (p *Peppers) Hashes(v SecretValue) (hashes [][sha256.Size]byte) {
	for _, one := range p.all {
		hashes = append(hashes, one.hash(v))
	}
	return hashes
}

func (p *pepper) hash(v SecretValue) [sha256.Size]byte {
	h := p.ready.Get().(*keyedHash) //nolint:errcheck,forcetypeassert // nothing else is in the pool
	defer p.ready.Put(h)
	h.mac.Write(append(h.text[:0], v.text...))
	h.mac.Sum(h.sum[:0])
	sum := h.sum
	h.mac.Reset() // so that nothing of the value is left in what waits for the next one
	clear(h.text[:min(len(v.text), len(h.text))])
	clear(h.sum[:])
	return sum
}

// match returns the secret that v is the value of, one that is usable if there are several, or nil. It does the same work whatever it
// is given: one hash for each pepper, whether or not there is a secret to compare with. Imported secrets are none of its business.
func (p *Peppers) match(v SecretValue, secrets []*Secret, now time.Time) (found *Secret) {
	for _, one := range p.all {
		sum := one.hash(v)
		for _, s := range secrets {
			if s.Pepper == one.version && s.Imported == "" && subtle.ConstantTimeCompare(sum[:], s.Hash[:]) == 1 && (found == nil || s.Usable(now)) {
				found = s
			}
		}
	}
	return found
}
