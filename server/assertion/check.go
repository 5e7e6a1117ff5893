package assertion

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/countersign/countersign/server/auth"
)

const (
	// leeway is how far clocks may differ.
	leeway = time.Minute
	// ownHorizon is how far ahead an assertion of the client itself may expire, and how long ago it may have been made.
	ownHorizon = time.Hour
	maxID      = 256 // bytes of jti
)

// timely judges the times: the token has an end, which is not past and at most horizon ahead; it is valid already; and it was made at most
// horizon ago, if it says when.
func (c *claims) timely(now time.Time, horizon time.Duration) error {
	late := func(detail string) error { return &problem{auth.ExpiredAssertion, detail} }
	switch {
	case c.expires.IsZero():
		return bad("exp: missing")
	case !now.Before(c.expires.Add(leeway)):
		return late("exp: it is over")
	case c.expires.After(now.Add(horizon + leeway)):
		return late("exp: more than " + horizon.String() + " ahead")
	case c.notBefore.After(now.Add(leeway)):
		return late("nbf: it is not valid yet")
	case c.issued.After(now.Add(leeway)):
		return late("iat: it is in the future")
	case !c.issued.IsZero() && c.issued.Before(now.Add(-horizon-leeway)):
		return late("iat: more than " + horizon.String() + " ago")
	}
	return nil
}

// only refuses a token that is for anybody else, too: he could use it here (draft-ietf-oauth-rfc7523bis §3).
func (c *claims) only(audience string) error {
	if len(c.audience) != 1 || c.audience[0] != audience {
		return &problem{auth.WrongAudience, "aud: must be " + audience + " and nothing else"}
	}
	return nil
}

// once returns the use of a token that is good for one. Whose it is and its jti make it one of a kind.
func (c *claims) once(kind, whose string) (*auth.ProofUse, error) {
	switch {
	case c.id == "":
		return nil, bad("jti: missing")
	case len(c.id) > maxID:
		return nil, bad("jti: longer than 256 bytes")
	}
	var text []byte
	for _, part := range []string{kind, whose, c.id} {
		text = append(binary.BigEndian.AppendUint32(text, uint32(len(part))), part...) //nolint:gosec // a token has 16 KiB at most
	}
	// Another server's clock may be behind this one's.
	return &auth.ProofUse{Key: sha256.Sum256(text), Expires: c.expires.Add(2 * leeway)}, nil
}
