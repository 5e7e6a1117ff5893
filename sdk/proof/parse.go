package proof

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/countersign/countersign/sdk/jose"
)

// ParseKey reads a private key: PEM (PKCS #8, SEC 1 or PKCS #1, not encrypted), or a private JWK (RFC 7517, read strictly). What else may be around
// a PEM block is passed over, but a second key is not. No error quotes the text.
func ParseKey(text []byte, o KeyOptions) (*Key, error) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		return parseJWK(trimmed, o)
	}
	signer, err := parsePEM(text)
	if err != nil {
		return nil, err
	}
	return NewKey(signer, o)
}

func parsePEM(text []byte) (signer crypto.Signer, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type == "EC PARAMETERS" || block.Type == "CERTIFICATE" { // what OpenSSL writes in front, or what goes with the key
			continue
		}
		if signer != nil {
			return nil, errors.New("there is more than one key")
		}
		if signer, err = parseBlock(block); err != nil {
			return nil, err
		}
	}
	if signer == nil {
		return nil, errors.New("there is neither a PEM block nor a JWK of a private key")
	}
	return signer, nil
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return nil, errors.New("the key is encrypted; write it without a password, readable by its owner alone")
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case block.Type == "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block is %.40q, not a private key", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the PEM block %s cannot be read", jose.ErrKey, block.Type) // the cause could quote it
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a key of type %T does not sign", jose.ErrKey, key)
	}
	return signer, nil
}
