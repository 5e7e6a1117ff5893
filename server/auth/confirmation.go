package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Confirmation is what a token is bound to (RFC 7800 §3.1): who presents it proves to hold the key. Zero fields bind nothing; a token may
// be bound to both.
type Confirmation struct {
	JWK         [sha256.Size]byte // `jkt`: the thumbprint of a DPoP key, RFC 9449 §6.1
	Certificate [sha256.Size]byte // `x5t#S256`: SHA-256 of a client certificate's DER, RFC 8705 §3.1
}

// Bound reports whether the token is bound to anything.
func (c *Confirmation) Bound() bool { return *c != Confirmation{} }

// HeldBy reports whether somebody who proved to hold what is in held may present a token that is bound to c.
func (c *Confirmation) HeldBy(held Confirmation) bool {
	return (c.JWK == [sha256.Size]byte{} || c.JWK == held.JWK) && (c.Certificate == [sha256.Size]byte{} || c.Certificate == held.Certificate)
}

// TokenType is how the token is to be presented (RFC 6749 §7.1, RFC 9449 §5). One that is bound to a certificate alone goes as a bearer token
// (RFC 8705 §3).
func (c *Confirmation) TokenType() string {
	if c.JWK != [sha256.Size]byte{} {
		return "DPoP"
	}
	return "Bearer"
}

// JWKText returns `jkt` in base64url, empty if the token is not bound to a key.
func (c *Confirmation) JWKText() string { return hashText(c.JWK) }

// CertificateText returns `x5t#S256` in base64url, empty if the token is not bound to a certificate.
func (c *Confirmation) CertificateText() string { return hashText(c.Certificate) }

func hashText(hash [sha256.Size]byte) string {
	if hash == ([sha256.Size]byte{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// ParseHash reads what JWKText or CertificateText returned. It takes the one encoding that a hash has.
func ParseHash(text string) (hash [sha256.Size]byte, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(hash) || len(text) != base64.RawURLEncoding.EncodedLen(len(hash)) {
		return hash, false
	}
	return [sha256.Size]byte(raw), true
}

// ProofUse is one use of something that may be used once: the `jti` of a client assertion or of a DPoP proof.
type ProofUse struct {
	// Key is SHA-256 of what makes it one of a kind: what sort of proof it is, whose, and its `jti`.
	Key [sha256.Size]byte
	// Expires is when it is refused for its age, so that it need not be remembered any more.
	Expires time.Time
}

// Constraint is what an API wants its tokens bound to.
type Constraint string

// The constraints.
const (
	Unconstrained  Constraint = ""           // bearer tokens are good enough
	AnyBinding     Constraint = "any"        // a key or a certificate
	DPoPBinding    Constraint = "dpop"       // a key, RFC 9449
	CertificateTLS Constraint = "mutual_tls" // a certificate, RFC 8705
)

// Met reports whether a token that is bound to c is good enough.
func (k Constraint) Met(c Confirmation) bool {
	switch k {
	case DPoPBinding:
		return c.JWK != [sha256.Size]byte{}
	case CertificateTLS:
		return c.Certificate != [sha256.Size]byte{}
	case AnyBinding:
		return c.Bound()
	case Unconstrained:
	}
	return true
}
