package jose

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	// MaxToken is how long a token may be, in bytes.
	MaxToken = 16 << 10
	// MaxHeader is how long a token's header may be, in bytes of JSON.
	MaxHeader = 4 << 10
)

// Signed is a token that was read, its signature not yet checked. It prints as [redacted].
type Signed struct {
	Header    Header
	Payload   []byte // decoded; nothing but its encoding was checked
	input     string // what is signed, RFC 7515 §5.2
	signature []byte
}

// Parse reads a token in compact form (RFC 7515 §3.1). Its error is ErrMalformed, or ErrAlgorithm for an algorithm that is not known.
//
// It refuses: anything but three parts; more than MaxToken or MaxHeader bytes; base64url that is not the one encoding of its bytes
// (padding, line ends, spare bits); a header that is not strict JSON; crit, b64 (RFC 7797), enc and zip, whatever they say; an empty
// signature.
func Parse(compact string) (*Signed, error) { return parse(compact, nil) }

// ParseWithKey reads, as Parse does, a token that brings its own public key along (jwk, RFC 7515 §4.1.3), and checks the signature by it.
// All that this proves is that whoever made the token has the private key: it is for proofs of possession (RFC 9449), never for tokens
// by which somebody says who he is. Since anybody can have a key checked in this way, it must cost little: an RSA key has at most 4096 bits and an
// exponent of at most 65537. The error is one of Parse and [Signed.Verify], or ErrKey if there is no key or, by this and by [ParseKey], none that can be
// used.
func ParseWithKey(compact string) (*Signed, *Key, error) {
	var embedded embeddedKey
	signed, err := parse(compact, &embedded)
	switch {
	case err != nil:
		return nil, nil, err
	case embedded.err != nil:
		return nil, nil, embedded.err
	case embedded.key == nil:
		return nil, nil, unusable(errors.New("the token has no jwk"))
	case !embedded.key.cheap():
		return nil, nil, unusable(errors.New("an RSA key of more than 4096 bits, or an exponent above 65537"))
	}
	if err := signed.Verify(embedded.key); err != nil {
		return nil, nil, err
	}
	return signed, embedded.key, nil
}

func parse(compact string, embedded *embeddedKey) (*Signed, error) {
	if len(compact) > MaxToken {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxToken)
	}
	header, rest, _ := strings.Cut(compact, ".")
	payload, signature, found := strings.Cut(rest, ".")
	if !found || strings.Contains(signature, ".") {
		return nil, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	space := make([]byte, base64.RawURLEncoding.DecodedLen(len(compact)))
	var parts [3][]byte
	for i, text := range [...]string{header, payload, signature} {
		size, ok := decode(space, text)
		if !ok {
			return nil, fmt.Errorf("%w: part %d is not canonical base64url", ErrMalformed, i+1)
		}
		parts[i], space = space[:size:size], space[size:]
	}
	if len(parts[0]) > MaxHeader {
		return nil, fmt.Errorf("%w: header of more than %d bytes", ErrMalformed, MaxHeader)
	}
	if len(parts[2]) == 0 {
		return nil, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	read, err := readHeader(parts[0], embedded)
	if err != nil {
		return nil, err
	}
	return &Signed{Header: read, Payload: parts[1], input: compact[:len(header)+1+len(payload)], signature: parts[2]}, nil
}

// Format implements fmt.Formatter, so that no verb prints a token.
func (s Signed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (s Signed) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// decode writes the bytes that text encodes to the beginning of to, which has room for them. It returns their number, and false if
// text is not their one encoding in base64url without padding (RFC 7515 §2). The standard library passes over line ends, and over
// the bits that are left in the last character.
func decode(to []byte, text string) (int, bool) {
	if strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 {
		return 0, false
	}
	const oneByteLeft, twoBytesLeft = "AQgw", "AEIMQUYcgkosw048" // 4 and 2 spare bits, all zero
	switch len(text) % 4 {
	case 2:
		if strings.IndexByte(oneByteLeft, text[len(text)-1]) < 0 {
			return 0, false
		}
	case 3:
		if strings.IndexByte(twoBytesLeft, text[len(text)-1]) < 0 {
			return 0, false
		}
	}
	size, err := base64.RawURLEncoding.Decode(to, []byte(text))
	return size, err == nil
}
