package keys

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Answer is what the server says about a token, RFC 9701 §5. `iss` is the ring's.
type Answer struct {
	Audience auth.ClientID // aud: who asked
	Issued   time.Time     // iat, whole seconds
	Text     []byte        // token_introspection: one JSON object, as it is
}

const answerType = "token-introspection+jwt"

// SignAnswer returns a signed introspection answer. It has neither `sub` nor `exp` of its own, and its `typ` is none that Verify takes:
// it is no access token (RFC 9701 §8.1). It returns fault.Unavailable if no key of the algorithm can sign.
func (r *Ring) SignAnswer(alg auth.Algorithm, a Answer) (string, error) {
	key, err := r.signing(alg)
	if err != nil {
		return "", err
	}
	var buffer [typicalClaims]byte
	claims := append(buffer[:0], claimIssuer...)
	claims = append(claims, r.config.Issuer...)
	claims = append(claims, claimAudience...)
	claims = append(claims, a.Audience.String()...)
	claims = append(claims, `","iat":`...)
	claims = strconv.AppendInt(claims, a.Issued.Unix(), 10)
	claims = append(claims, `,"token_introspection":`...)
	claims = append(claims, a.Text...)
	return key.jws(key.answer, append(claims, '}'))
}

// signing returns the key of the algorithm that signs now.
func (r *Ring) signing(alg auth.Algorithm) (*ringKey, error) {
	key := r.state.Load().signer(alg, r.config.Now())
	if key == nil || !key.opened() {
		return nil, fault.New(fault.Unavailable, "no "+string(alg)+" key can sign right now")
	}
	return key, nil
}

// jws returns the compact JWS (RFC 7515 §7.1) under a header that is encoded.
func (k *ringKey) jws(header string, payload []byte) (string, error) {
	encoding := base64.RawURLEncoding
	var buffer [typicalToken]byte // stays on the stack, so that the text is the only memory that is taken
	text := append(append(buffer[:0], header...), '.')
	text = encoding.AppendEncode(text, payload)
	var raw [rsaBits / 8]byte
	signature, err := k.appendSignature(raw[:0], text)
	if err != nil {
		return "", fmt.Errorf("sign by key %s: %w", k.id, err)
	}
	return string(encoding.AppendEncode(append(text, '.'), signature)), nil
}
