package auth

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// IssuerKind is how a trusted issuer's tokens name it and its keys are had.
type IssuerKind string

// The kinds.
const (
	OIDCIssuer   IssuerKind = "oidc"   // `iss`; keys by OpenID Connect Discovery, an address, or as they are
	SPIFFEIssuer IssuerKind = "spiffe" // a trust domain; keys by its bundle
)

// ReplayPolicy says how often a token of a trusted issuer may be used.
type ReplayPolicy string

// The policies.
const (
	Once     ReplayPolicy = "once"     // the token has a `jti`, which is good for one use
	Reusable ReplayPolicy = "reusable" // until it expires, as service-account tokens are
)

// TrustedIssuer signs the tokens of workloads, by which those are clients (RFC 7523 §2.2).
type TrustedIssuer struct {
	ID       TrustedIssuerID
	Revision int64  // counts the changes of this row, from 1; 0 is an issuer that is not stored yet
	Name     string // unique, for people
	// Issuer is the `iss` of its tokens, compared byte for byte; of a SPIFFEIssuer its trust domain as spiffe://NAME. Unique.
	Issuer string
	Trust
	Created time.Time
	Updated time.Time
}

// Trust is what makes a trusted issuer's tokens good.
type Trust struct {
	Kind IssuerKind `json:"kind"`
	// JWKS are the issuer's keys, JWKSURI is where they are to be had. Without both they are found by OpenID Connect Discovery, which a SPIFFEIssuer does
	// not have. Of a SPIFFEIssuer it is the trust bundle.
	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`
	// Audience is the `aud` that tokens must have; empty: our own issuer identifier.
	Audience string `json:"audience,omitempty"`
	// Algorithms are those that its tokens may be signed by: at least one.
	Algorithms []string `json:"algorithms"`
	// MaxLifetime bounds how far ahead a token may expire.
	MaxLifetime time.Duration `json:"max_lifetime"`
	Replay      ReplayPolicy  `json:"replay"`
	Status      Status        `json:"status"`
}

// Bounds of Trust.MaxLifetime. Kubernetes gives tokens of an hour, and extends old ones to a year, which is too long to be a proof.
const (
	MinTrustedLifetime     = time.Minute
	DefaultTrustedLifetime = time.Hour
	MaxTrustedLifetime     = 24 * time.Hour
)

// TrustedAlgorithms lists the algorithms that tokens of trusted issuers may be signed by.
func TrustedAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}
}

// Validate returns fault.InvalidRequest, with the field at fault, for an issuer that must not be stored. That keys can be used, and that an
// address may be fetched from, is for those who use them to look at.
func (i *TrustedIssuer) Validate() error {
	if err := validLine("name", i.Name, 1); err != nil {
		return err
	}
	if err := i.validateIssuer(); err != nil {
		return err
	}
	switch {
	case len(i.JWKS) > 0 && i.JWKSURI != "":
		return fault.New(fault.InvalidRequest, "an issuer has jwks or jwks_uri, not both").At("jwks_uri")
	case i.Kind == SPIFFEIssuer && len(i.JWKS) == 0 && i.JWKSURI == "":
		return fault.New(fault.InvalidRequest, "a trust domain needs its bundle: jwks, or jwks_uri").At("jwks")
	case len(i.JWKS) > maxKeySet || len(i.JWKSURI) > maxURI:
		return fault.New(fault.InvalidRequest, "a key set has at most 64 KiB, its address 2000 characters").At("jwks")
	case len(i.Audience) > maxIdentifier:
		return fault.New(fault.InvalidRequest, "at most 500 bytes are allowed").At("audience")
	case len(i.Algorithms) == 0:
		return fault.New(fault.InvalidRequest, "at least one algorithm is needed").At("algorithms")
	case i.MaxLifetime < MinTrustedLifetime || i.MaxLifetime > MaxTrustedLifetime || i.MaxLifetime%time.Second != 0:
		return fault.New(fault.InvalidRequest, "must be 60 to 86400 whole seconds").At("max_lifetime")
	}
	for _, a := range i.Algorithms {
		if !slices.Contains(TrustedAlgorithms(), a) {
			return fault.New(fault.InvalidRequest, "allowed are "+strings.Join(TrustedAlgorithms(), ", ")).At("algorithms")
		}
	}
	switch i.Replay {
	case Once, Reusable:
	default:
		return fault.New(fault.InvalidRequest, `allowed are "once" and "reusable"`).At("replay")
	}
	switch i.Status {
	case Active, Disabled:
	default:
		return fault.New(fault.InvalidRequest, `allowed are "active" and "disabled"`).At("status")
	}
	return nil
}

func (i *TrustedIssuer) validateIssuer() error {
	const field = "issuer"
	u, err := url.Parse(i.Issuer)
	if err != nil || len(i.Issuer) > maxIdentifier || u.User != nil || strings.ContainsAny(i.Issuer, "?#") {
		return fault.New(fault.InvalidRequest, "must be a URL without user, query and fragment, of at most 500 characters").At(field)
	}
	switch i.Kind {
	case OIDCIssuer:
		if u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fault.New(fault.InvalidRequest, "must be an https URL").At(field)
		}
	case SPIFFEIssuer:
		if u.Scheme != "spiffe" || u.Host == "" || u.Path != "" || u.Port() != "" || u.Host != strings.ToLower(u.Host) {
			return fault.New(fault.InvalidRequest, "must be a trust domain, such as spiffe://example.org").At(field)
		}
	default:
		return fault.New(fault.InvalidRequest, `allowed are "oidc" and "spiffe"`).At("kind")
	}
	return nil
}
