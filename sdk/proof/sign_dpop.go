package proof

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

// Use is what a DPoP proof is made for, one request.
type Use struct {
	// Method is the request's, in its very case.
	Method string
	// URL is the request's. User, query and fragment are left out of the proof.
	URL *url.URL
	// AccessToken is the token that the request bears; empty: none, as at the token endpoint.
	AccessToken string
	// Nonce is what the server asked for last; empty: nothing.
	Nonce string
}

// DPoP returns a proof that the sender of a request has the key (RFC 9449 §4.2). It is good for one request, as servers remember its jti: every
// attempt needs another one. An error is that of the key, or says what is wrong with the use. An RSA key of more than 4096 bits, or with an exponent
// above 65537, makes none: nobody checks proofs by it ([jose.ParseWithKey]).
func (k *Key) DPoP(use Use) (string, error) {
	if use.Method == "" || use.URL == nil || use.URL.Scheme == "" || use.URL.Host == "" {
		return "", errors.New("a DPoP proof needs a method and an absolute URL")
	}
	if public, ok := k.signer().Public().(*rsa.PublicKey); ok && (public.N.BitLen() > 4096 || public.E > 65537) {
		return "", fmt.Errorf("%w: a DPoP proof is by an RSA key of at most 4096 bits with an exponent of at most 65537", jose.ErrKey)
	}
	header := append(make([]byte, 0, 640), `{"typ":"dpop+jwt","alg":"`...)
	header = append(append(header, k.algorithm...), `","jwk":`...)
	header = append(append(header, k.jwk...), '}')

	claims := append(make([]byte, 0, 384), `{"jti":"`...)
	claims = append(appendUnique(claims), `","htm":`...)
	claims = append(appendText(claims, use.Method), `,"htu":`...)
	claims = append(appendText(claims, target(use.URL)), `,"iat":`...)
	claims = strconv.AppendInt(claims, time.Now().Unix(), 10)
	if use.AccessToken != "" {
		hash := sha256.Sum256([]byte(use.AccessToken))
		claims = append(base64.RawURLEncoding.AppendEncode(append(claims, `,"ath":"`...), hash[:]), '"')
	}
	if use.Nonce != "" {
		claims = appendText(append(claims, `,"nonce":`...), use.Nonce)
	}
	return k.sign(header, append(claims, '}'))
}

// target is the htu of a URL.
func target(u *url.URL) string {
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if plain.Path == "" {
		plain.Path = "/" // as it is sent, RFC 9112 §3.2.1
	}
	return plain.String()
}
