package proof

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"time"
)

const (
	// AssertionType is the typ of client assertions, draft-ietf-oauth-rfc7523bis §4.
	AssertionType = "client-authentication+jwt"
	// AssertionLifetime is how long an assertion of ours is good for.
	AssertionLifetime = time.Minute
)

// Assertion returns a client assertion (private_key_jwt: RFC 7523 §2.2, draft-ietf-oauth-rfc7523bis), by which the client authenticates to the
// authorization server of this issuer identifier, its one audience. It is good for a minute, and once: the server remembers its jti, so every
// attempt needs another one. It is a secret. An error is that of the key.
func (k *Key) Assertion(clientID, issuer string) (string, error) {
	header := append(make([]byte, 0, 160), `{"typ":"`+AssertionType+`","alg":"`...)
	header = append(append(header, k.algorithm...), `","kid":`...)
	header = append(appendText(header, k.id), '}')

	now := time.Now()
	claims := append(make([]byte, 0, 384), `{"iss":`...)
	claims = append(appendText(claims, clientID), `,"sub":`...)
	claims = append(appendText(claims, clientID), `,"aud":`...)
	claims = append(appendText(claims, issuer), `,"iat":`...)
	claims = append(strconv.AppendInt(claims, now.Unix(), 10), `,"exp":`...)
	claims = append(strconv.AppendInt(claims, now.Add(AssertionLifetime).Unix(), 10), `,"jti":"`...)
	claims = append(appendUnique(claims), `"}`...)
	return k.sign(header, claims)
}

// appendUnique appends 128 random bits in base64url.
func appendUnique(to []byte) []byte {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // it never fails
	return base64.RawURLEncoding.AppendEncode(to, bits[:])
}
