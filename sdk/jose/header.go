package jose

import (
	"errors"
	"fmt"

	"github.com/countersign/countersign/sdk/strictjson"
)

// Header is what the header of a token says, RFC 7515 §4.1. Nothing in it is to be believed before the signature is.
type Header struct {
	Algorithm Algorithm // alg, always a known one
	KeyID     string    // kid, empty if there is none
	Type      string    // typ as it is written, empty if there is none
}

// readHeader reads a header. The key that it holds (jwk, RFC 7515 §4.1.3) is read if embedded is not nil, and else passed over.
func readHeader(text []byte, embedded *embeddedKey) (Header, error) {
	var header Header
	var name string
	err := strictjson.Object(text, func(member string, value strictjson.Value) (err error) {
		switch member {
		case "alg":
			name, err = value.String()
		case "kid":
			header.KeyID, err = value.String()
		case "typ":
			header.Type, err = value.String()
		case "jwk":
			embedded.read(value)
		case "crit", "b64", "enc", "zip":
			err = fmt.Errorf("header with %s", member)
		}
		return err
	})
	if err != nil {
		return Header{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	known, ok := algorithm(name)
	if !ok {
		return Header{}, fmt.Errorf("%w: none that is known", ErrAlgorithm)
	}
	header.Algorithm = known
	return header, nil
}

// embeddedKey is what a token says is its own key.
type embeddedKey struct {
	key *Key
	err error // why it is no usable one
}

func (e *embeddedKey) read(value strictjson.Value) {
	if e == nil {
		return
	}
	if value.Kind() != strictjson.Map {
		e.err = unusable(errors.New("not an object"))
		return
	}
	var w written
	e.key, e.err = w.read(value)
}
