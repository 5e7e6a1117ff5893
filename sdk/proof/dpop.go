package proof

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/strictjson"
)

const (
	// MaxDPoP is how long a DPoP proof may be, in bytes.
	MaxDPoP = 8 << 10
	// MaxID is how long a proof's jti may be, in bytes.
	MaxID = 256

	dpopType = "dpop+jwt"
)

var (
	// ErrNoDPoP means that a request has no DPoP proof.
	ErrNoDPoP = errors.New("no DPoP proof")
	// ErrDPoP means that a DPoP proof proves nothing for this request: invalid_dpop_proof (RFC 9449 §5, §7.1). The error names the claim
	// that is at fault.
	ErrDPoP = errors.New("invalid DPoP proof")
)

// DPoP is a proof (RFC 9449 §4.2) that was signed by the key that it names, for the method and URI of the request that it came with. What
// the methods look at was not checked.
type DPoP struct {
	// Thumbprint is the key's JWK thumbprint by SHA-256 in base64url (RFC 7638), the jkt of tokens that are bound to it.
	Thumbprint string
	// Algorithm is the one of the signature.
	Algorithm jose.Algorithm
	// ID is the jti, 1 to MaxID bytes. It is the caller's choice: only together with the key does it tell proofs apart, see Key.
	ID string
	// Issued is the iat, by the caller's clock.
	Issued time.Time
	// Nonce is the nonce, empty if there is none.
	Nonce string

	accessToken string // ath, empty if there is none
}

// ReadDPoP reads the proof of a request, given the values of its DPoP header, one per header line, its method, and the URI as the client saw
// it: absolute; query and fragment are passed over. It makes the checks 1 to 9 of RFC 9449 §4.3, with the algorithms of [Algorithms], EdDSA by its
// name Ed25519 (RFC 9864) among them. The URIs are compared after syntax-based
// and scheme-based normalisation (RFC 3986 §6.2.2 and §6.2.3) but for dot segments, which stay. The error is ErrNoDPoP or ErrDPoP.
func ReadDPoP(headers []string, method, uri string) (*DPoP, error) {
	switch {
	case len(headers) == 0:
		return nil, ErrNoDPoP
	case len(headers) > 1:
		return nil, refuseDPoP("more than one DPoP header")
	case len(headers[0]) > MaxDPoP:
		return nil, refuseDPoP("longer than 8192 bytes")
	}
	signed, key, err := jose.ParseWithKey(headers[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDPoP, err)
	}
	switch header := signed.Header; {
	case header.Type != dpopType:
		return nil, refuseDPoP("typ is not dpop+jwt")
	case !slices.Contains(Algorithms(), header.Algorithm) && header.Algorithm != jose.Ed25519: // the name of RFC 9864
		return nil, refuseDPoP("alg is not one of ours")
	}
	read := dpopClaims{proof: DPoP{Thumbprint: key.Thumbprint(), Algorithm: signed.Header.Algorithm}}
	if err := strictjson.Object(signed.Payload, read.member); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDPoP, err)
	}
	if err := read.check(method, uri); err != nil {
		return nil, err
	}
	return &read.proof, nil
}

func refuseDPoP(why string) error { return fmt.Errorf("%w: %s", ErrDPoP, why) }

// dpopClaims are those of a proof, not yet judged.
type dpopClaims struct {
	proof       DPoP
	method, uri string
	issued      bool
}

func (c *dpopClaims) member(name string, value strictjson.Value) (err error) {
	switch name {
	case "jti":
		c.proof.ID, err = value.String()
	case "htm":
		c.method, err = value.String()
	case "htu":
		c.uri, err = value.String()
	case "iat":
		c.issued = true
		c.proof.Issued, err = jose.NumericDate(value)
	case "nonce":
		c.proof.Nonce, err = value.String()
	case "ath":
		c.proof.accessToken, err = value.String()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (c *dpopClaims) check(method, uri string) error {
	switch {
	case c.proof.ID == "":
		return refuseDPoP("no jti")
	case len(c.proof.ID) > MaxID:
		return refuseDPoP("jti is longer than 256 bytes")
	case !c.issued:
		return refuseDPoP("no iat")
	case c.method != method:
		return refuseDPoP("htm is not the method of the request")
	case !sameURI(c.uri, uri):
		return refuseDPoP("htu is not the URI of the request")
	}
	return nil
}

// Fresh tells whether the proof was made at most past before now, and at most future after it, to make up for clocks that differ
// (RFC 9449 §4.3 check 11). The error is ErrDPoP.
func (d *DPoP) Fresh(now time.Time, past, future time.Duration) error {
	switch age := now.Sub(d.Issued); {
	case age > past:
		return refuseDPoP("iat is too long ago")
	case age < -future:
		return refuseDPoP("iat is in the future")
	}
	return nil
}

// Covers tells whether the proof was made for a request with this access token: ath is its hash (RFC 9449 §4.3 check 12). Whether the
// token is bound to the proof's key is to be asked of the token. The error is ErrDPoP.
func (d *DPoP) Covers(accessToken string) error {
	if d.accessToken == "" {
		return refuseDPoP("no ath")
	}
	sum := sha256.Sum256([]byte(accessToken))
	if subtle.ConstantTimeCompare([]byte(d.accessToken), []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) != 1 {
		return refuseDPoP("ath is not the hash of the access token")
	}
	return nil
}

// Key tells this proof from every other: SHA-256 over thumbprint, a dot and jti, the first of which has no dot. Whoever finds the same key
// twice was shown a proof twice (RFC 9449 §11.1).
func (d *DPoP) Key() [32]byte { return sha256.Sum256([]byte(d.Thumbprint + "." + d.ID)) }

// Expires returns until when the proof's Key has to be remembered where [DPoP.Fresh] decides by these bounds: later, it is stale also by
// a clock that is behind by future.
func (d *DPoP) Expires(past, future time.Duration) time.Time { return d.Issued.Add(past + future) }
