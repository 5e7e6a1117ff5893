package jose

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
)

// Sign returns a token in compact form (RFC 7515 §7.1): this header and this payload, signed with the key by the algorithm. The header's alg is
// the caller's to write. The key's Public is *[crypto/ecdsa.PublicKey], *[crypto/rsa.PublicKey] or [crypto/ed25519.PublicKey]; if it is
// not of the kind that the algorithm needs, the error is ErrAlgorithm, if it is unusable for any, ErrKey. Other errors are the key's own.
func Sign(key crypto.Signer, a Algorithm, header, payload []byte) (string, error) {
	public, err := FromPublic(key.Public())
	if err != nil {
		return "", err
	}
	return public.Sign(key, a, header, payload)
}

// Sign is as the function, for who has the key's public half at hand.
func (k *Key) Sign(private crypto.Signer, a Algorithm, header, payload []byte) (string, error) {
	if !k.Allows(a) {
		return "", fmt.Errorf("%w: not one of the key's", ErrAlgorithm)
	}
	size := k.signatureSize()
	encoded := base64.RawURLEncoding.EncodedLen
	token := make([]byte, 0, encoded(len(header))+encoded(len(payload))+encoded(size)+2)
	token = base64.RawURLEncoding.AppendEncode(token, header)
	token = append(token, '.')
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	signature, err := k.signature(private, a, token)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	if len(signature) != size {
		return "", fmt.Errorf("sign: the key made a signature of %d bytes, not %d", len(signature), size)
	}
	token = append(token, '.')
	return string(base64.RawURLEncoding.AppendEncode(token, signature)), nil
}

// signatureSize is how many bytes a signature by this key has.
func (k *Key) signatureSize() int {
	switch {
	case k.ecdsa != nil:
		return 2 * ((k.ecdsa.Curve.Params().BitSize + 7) / 8)
	case k.rsa != nil:
		return k.rsa.Size()
	}
	return 64 // RFC 8032 §5.1.6
}

func (k *Key) signature(private crypto.Signer, a Algorithm, input []byte) ([]byte, error) {
	if k.ed25519 != nil {
		return private.Sign(rand.Reader, input, crypto.Hash(0))
	}
	hash, sum := digest(a, input)
	var options crypto.SignerOpts = hash
	if a[0] == 'P' {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	signature, err := private.Sign(rand.Reader, sum, options)
	if err != nil || k.ecdsa == nil {
		return signature, err
	}
	return fixed(signature, k.signatureSize()/2)
}

// fixed takes the two numbers of an ECDSA signature out of their ASN.1 and writes them one after the other, each in so many bytes
// (RFC 7518 §3.4).
func fixed(der []byte, width int) ([]byte, error) {
	both := make([]byte, 2*width)
	inside, rest, ok := element(der, sequence)
	r, inside, okR := element(inside, integer)
	s, inside, okS := element(inside, integer)
	if !ok || !okR || !okS || len(rest) > 0 || len(inside) > 0 {
		return nil, errors.New("the key made a signature that is not ASN.1 of two numbers")
	}
	for i, number := range [...][]byte{r, s} {
		for len(number) > 0 && number[0] == 0 {
			number = number[1:]
		}
		if len(number) > width {
			return nil, errors.New("the key made a signature of numbers that are too large")
		}
		copy(both[(i+1)*width-len(number):], number)
	}
	return both, nil
}

// element reads an element of this tag that is shorter than 256 bytes, which is longer than any signature by P-521 needs.
func element(text []byte, tag byte) (content, rest []byte, ok bool) {
	if len(text) < 2 || text[0] != tag {
		return nil, nil, false
	}
	size, text := int(text[1]), text[2:]
	if size == 0x81 && len(text) > 0 {
		size, text = int(text[0]), text[1:]
	} else if size >= 0x80 {
		return nil, nil, false
	}
	if size == 0 || len(text) < size {
		return nil, nil, false
	}
	return text[:size], text[size:], true
}
