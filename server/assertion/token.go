package assertion

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/strictjson"
	"github.com/countersign/countersign/server/auth"
)

// token is an assertion that was read. Nothing of it is to be believed before its signature is.
type token struct {
	*jose.Signed
	claims
	checked bool   // its signature was, whatever came of it
	keyHint string // the header member that says where the key is to be had, if there is one
}

// claims are those that decide, RFC 7523 §3. A time that is zero is not there.
type claims struct {
	issuer, subject, id        string
	audience                   []string
	expires, notBefore, issued time.Time
}

// problem is why an assertion is refused: a reason of package auth, and what is at fault.
type problem struct{ reason, detail string }

func (p *problem) Error() string { return p.reason + ": " + p.detail }

func bad(detail string) error { return &problem{auth.BadAssertion, detail} }

func read(compact string) (*token, error) {
	signed, err := jose.Parse(compact)
	if err != nil {
		return nil, bad(err.Error()) // it holds no part of the token
	}
	t := &token{Signed: signed}
	if err := strictjson.Object(signed.Payload, t.member); err != nil {
		return nil, bad("claims: " + err.Error())
	}
	encoded, _, _ := strings.Cut(compact, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, bad("header: not base64url")
	}
	err = strictjson.Object(header, func(name string, _ strictjson.Value) error {
		switch name {
		case "jku", "x5u", "jwk", "x5c":
			t.keyHint = name
		}
		return nil
	})
	if err != nil {
		return nil, bad("header: " + err.Error())
	}
	return t, nil
}

func (c *claims) member(name string, value strictjson.Value) (err error) {
	switch name {
	case "iss":
		c.issuer, err = value.String()
	case "sub":
		c.subject, err = value.String()
	case "jti":
		c.id, err = value.String()
	case "aud":
		c.audience, err = value.Strings()
	case "exp":
		c.expires, err = jose.NumericDate(value)
	case "nbf":
		c.notBefore, err = jose.NumericDate(value)
	case "iat":
		c.issued, err = jose.NumericDate(value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// typed refuses what is a token of another kind: access tokens, DPoP proofs, answers of introspection (RFC 8725 §3.11). A token says its
// kind as a media type, without regard to case, and mostly without application/ (RFC 7515 §4.1.9).
func (t *token) typed(allowed ...string) error {
	kind := t.Header.Type
	if rest, ok := cutPrefixFold(kind, "application/"); ok && !strings.Contains(rest, "/") {
		kind = rest
	}
	if kind == "" {
		return nil
	}
	for _, one := range allowed {
		if strings.EqualFold(kind, one) {
			return nil
		}
	}
	return bad("typ: allowed are none, " + strings.Join(allowed, ", "))
}

func cutPrefixFold(text, prefix string) (string, bool) {
	if len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
		return text[len(prefix):], true
	}
	return text, false
}
