package auth

import (
	"bytes"
	"encoding/json"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fault"
)

// Proofs is what a client authenticates by, beside secrets, and what its tokens are bound to. Which fields may be set depends on the
// client's Method.
type Proofs struct {
	// JWKS is the client's JWK set, JWKSURI where it is to be had (RFC 7591 §2): one of them, for PrivateKeyJWT and SelfSignedTLS.
	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`
	// SigningAlg is the only algorithm of the client's assertions; empty: any that is supported.
	SigningAlg Algorithm `json:"token_endpoint_auth_signing_alg,omitempty"`
	// Certificate is how the client's certificate is told from others, for TLSClientAuth.
	Certificate *CertificateName `json:"certificate,omitempty"`
	// Federation lists the workloads that are this client, for FederatedJWT, SPIFFEJWT and SPIFFEX509. One match is enough.
	Federation []FederationRule `json:"federation,omitempty"`
	// DPoPBound refuses the client tokens that are not bound to a DPoP key, RFC 9449 §5.2.
	DPoPBound bool `json:"dpop_bound_access_tokens,omitempty"`
	// CertificateBound binds the client's tokens to its certificate, and refuses it others, RFC 8705 §3.4.
	CertificateBound bool `json:"tls_client_certificate_bound_access_tokens,omitempty"`
}

// CertificateField is the part of a certificate that names a client: a metadata member of RFC 8705 §2.1.2, without its prefix
// `tls_client_auth_`.
type CertificateField string

// The fields.
const (
	SubjectDN CertificateField = "subject_dn" // RFC 4514
	SANDNS    CertificateField = "san_dns"
	SANURI    CertificateField = "san_uri"
	SANIP     CertificateField = "san_ip"
	SANEmail  CertificateField = "san_email"
)

// CertificateName is what a client's certificate says.
type CertificateName struct {
	Field CertificateField `json:"field"`
	Value string           `json:"value"`
}

// FederationRule says that a workload of a trusted issuer is the client: every claim has to match.
type FederationRule struct {
	Issuer TrustedIssuerID `json:"issuer"`
	Claims []ClaimMatch    `json:"claims"`
}

// ClaimMatch compares one claim, a string, exactly or by its beginning. There are no patterns.
type ClaimMatch struct {
	// Path names the claim: ["sub"], or ["kubernetes.io", "namespace"] for a member of an object.
	Path   []string `json:"path"`
	Equals string   `json:"equals,omitempty"`
	Prefix string   `json:"prefix,omitempty"`
}

// Matches reports whether the value of the claim is what the rule wants.
func (m *ClaimMatch) Matches(value string) bool {
	if m.Equals != "" {
		return value == m.Equals
	}
	return m.Prefix != "" && strings.HasPrefix(value, m.Prefix)
}

const (
	maxRules   = 32
	maxMatches = 16
	maxPath    = 8
	maxClaim   = 1000
	maxURI     = 2000
	maxKeySet  = 64 << 10
)

// needs says which fields a method needs.
type needs struct{ keys, certificate, federation bool }

func needsOf(m Method) needs {
	switch m {
	case PrivateKeyJWT, SelfSignedTLS:
		return needs{keys: true}
	case TLSClientAuth:
		return needs{certificate: true}
	case FederatedJWT, SPIFFEJWT, SPIFFEX509:
		return needs{federation: true}
	case SecretBasic, SecretPost:
	}
	return needs{}
}

// validate returns fault.InvalidRequest, with the field at fault, for what does not go with the method. That keys can be used, and that an
// address may be fetched from, is for those who use them to look at.
func (p *Proofs) validate(m Method) error {
	want := needsOf(m)
	switch hasSet, hasURI := len(p.JWKS) > 0, p.JWKSURI != ""; {
	case hasSet && hasURI:
		return fault.New(fault.InvalidRequest, "a client has jwks or jwks_uri, not both (RFC 7591 §2)").At("jwks_uri")
	case want.keys && !hasSet && !hasURI:
		return fault.New(fault.InvalidRequest, "the method "+string(m)+" needs the client's keys: jwks, or jwks_uri").At("jwks")
	case !want.keys && (hasSet || hasURI):
		return fault.New(fault.InvalidRequest, "the method "+string(m)+" uses no keys of the client").At("jwks")
	case len(p.JWKS) > maxKeySet || len(p.JWKSURI) > maxURI:
		return fault.New(fault.InvalidRequest, "a key set has at most 64 KiB, its address 2000 characters").At("jwks")
	}
	if p.SigningAlg != "" && (m != PrivateKeyJWT || !slices.Contains(Algorithms(), p.SigningAlg)) {
		return fault.New(fault.InvalidRequest, `goes with private_key_jwt; allowed are "ES256", "RS256", "PS256" and "EdDSA"`).At("token_endpoint_auth_signing_alg")
	}
	if err := p.validateCertificate(m, want.certificate); err != nil {
		return err
	}
	return p.validateFederation(m, want.federation)
}

func (p *Proofs) validateCertificate(m Method, wanted bool) error {
	const member = "tls_client_auth_"
	if p.Certificate == nil {
		if wanted {
			return fault.New(fault.InvalidRequest, "the method tls_client_auth needs one of tls_client_auth_subject_dn, _san_dns, _san_uri, _san_ip and _san_email").
				At(member + string(SubjectDN))
		}
		return nil
	}
	field := member + string(p.Certificate.Field)
	if !wanted {
		return fault.New(fault.InvalidRequest, "goes with tls_client_auth, and the client's method is "+string(m)).At(field)
	}
	if validLine(field, p.Certificate.Value, 1) != nil {
		return fault.New(fault.InvalidRequest, "must be one line of 1 to 200 printable characters").At(field)
	}
	return p.Certificate.check(field)
}

func (n *CertificateName) check(field string) error {
	var ok bool
	var allowed string
	switch n.Field {
	case SubjectDN:
		_, ok = ParseDistinguishedName(n.Value)
		allowed = "a distinguished name of RFC 4514, such as CN=orders,O=Example, whose types are OIDs or well known"
	case SANDNS:
		ok, allowed = !strings.ContainsAny(n.Value, "*/:@ "), "a DNS name without wildcard"
	case SANURI:
		u, err := url.Parse(n.Value)
		ok, allowed = err == nil && u.IsAbs(), "an absolute URI"
	case SANIP:
		_, err := netip.ParseAddr(n.Value)
		ok, allowed = err == nil, "an IP address"
	case SANEmail:
		a, err := mail.ParseAddress(n.Value)
		ok, allowed = err == nil && a.Address == n.Value, "a mail address"
	default:
		return fault.New(fault.InvalidRequest, "is no field that names a client").At(field)
	}
	if !ok {
		return fault.New(fault.InvalidRequest, "allowed is "+allowed).At(field)
	}
	return nil
}

func (p *Proofs) validateFederation(m Method, wanted bool) error {
	const field = "federation"
	switch {
	case wanted && len(p.Federation) == 0:
		return fault.New(fault.InvalidRequest, "the method "+string(m)+" needs at least one rule").At(field)
	case !wanted && len(p.Federation) > 0:
		return fault.New(fault.InvalidRequest, "the method "+string(m)+" uses no rules of trusted issuers").At(field)
	case len(p.Federation) > maxRules:
		return fault.New(fault.InvalidRequest, "at most 32 rules are allowed").At(field)
	}
	for i := range p.Federation {
		if err := p.Federation[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

func (r *FederationRule) validate() error {
	const field = "federation"
	if r.Issuer == (TrustedIssuerID{}) {
		return fault.New(fault.InvalidRequest, "a rule names a trusted issuer").At(field)
	}
	if len(r.Claims) == 0 || len(r.Claims) > maxMatches {
		return fault.New(fault.InvalidRequest, "a rule has 1 to 16 claims").At(field)
	}
	for i := range r.Claims {
		m := &r.Claims[i]
		if len(m.Path) == 0 || len(m.Path) > maxPath || slices.Contains(m.Path, "") {
			return fault.New(fault.InvalidRequest, "the path of a claim has 1 to 8 names").At(field)
		}
		if (m.Equals == "") == (m.Prefix == "") {
			return fault.New(fault.InvalidRequest, "a claim has either equals or prefix").At(field)
		}
		if open(m.Prefix) {
			return fault.New(fault.InvalidRequest, "a prefix ends in a mark such as : or /, since repo:shop would match repo:shopping, too").At(field)
		}
		if len(m.Equals) > maxClaim || len(m.Prefix) > maxClaim || len(strings.Join(m.Path, "")) > maxClaim {
			return fault.New(fault.InvalidRequest, "names and values of claims have at most 1000 bytes").At(field)
		}
	}
	return nil
}

// open reports whether a prefix ends in the midst of a name, so that names of others begin like it.
func open(prefix string) bool {
	last, _ := utf8.DecodeLastRuneInString(prefix)
	return unicode.IsLetter(last) || unicode.IsDigit(last)
}

// Equal reports whether both say the same. Key sets are compared byte for byte.
func (p *Proofs) Equal(q *Proofs) bool {
	return bytes.Equal(p.JWKS, q.JWKS) && p.JWKSURI == q.JWKSURI && p.SigningAlg == q.SigningAlg && p.DPoPBound == q.DPoPBound &&
		p.CertificateBound == q.CertificateBound && (p.Certificate == nil) == (q.Certificate == nil) &&
		(p.Certificate == nil || *p.Certificate == *q.Certificate) && slices.EqualFunc(p.Federation, q.Federation, equalRules)
}

func equalRules(a, b FederationRule) bool {
	return a.Issuer == b.Issuer && slices.EqualFunc(a.Claims, b.Claims, func(x, y ClaimMatch) bool {
		return x.Equals == y.Equals && x.Prefix == y.Prefix && slices.Equal(x.Path, y.Path)
	})
}
