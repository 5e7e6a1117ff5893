package auth

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// Format is what an API's access tokens look like.
type Format string

// The formats.
const (
	JWT    Format = "jwt"    // RFC 9068, verified locally by signature
	Opaque Format = "opaque" // a reference, verified by introspection or the token store
)

// Algorithm is a JWS algorithm of RFC 7518 §3.1 or RFC 8037 §3.1.
type Algorithm string

// The algorithms with which this server signs.
const (
	ES256 Algorithm = "ES256"
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	EdDSA Algorithm = "EdDSA"
)

// Algorithms lists every algorithm, the default first.
func Algorithms() []Algorithm { return []Algorithm{ES256, RS256, PS256, EdDSA} }

// The APIs that exist from the start. They cannot be edited, only granted.
const (
	AdminAPI  = "urn:countersign:admin"  // the admin API
	ServerAPI = "urn:countersign:server" // introspection, revocation and the feed of the authorization server itself

	// BuiltInPrefix begins the identifiers of Countersign's own APIs.
	BuiltInPrefix = "urn:countersign:"
)

// The scopes of AdminAPI, one for each kind of resource and verb.
const (
	ScopeClientsRead  = "clients:read"
	ScopeClientsWrite = "clients:write"
	ScopeSecretsWrite = "secrets:write"
	// ScopeSecretsOwn lets a client add, rotate and end secrets of its own. Without it a client cannot, whatever else it may, so
	// that who has stolen a token cannot stay.
	ScopeSecretsOwn  = "secrets:own"
	ScopeAPIsRead    = "apis:read"
	ScopeAPIsWrite   = "apis:write"
	ScopeGrantsRead  = "grants:read"
	ScopeGrantsWrite = "grants:write"
	ScopeTokensRead  = "tokens:read"
	ScopeTokensWrite = "tokens:write"
	ScopeKeysRead    = "keys:read"
	ScopeKeysWrite   = "keys:write"
	ScopeAuditRead   = "audit:read"
	// ScopeIssuersWrite is over the trusted issuers, by whose tokens clients authenticate.
	ScopeIssuersRead  = "issuers:read"
	ScopeIssuersWrite = "issuers:write"
)

// The scopes of ServerAPI.
const (
	ScopeIntrospectAll   = "introspect:all"   // introspect any token
	ScopeRevokeAll       = "revoke:all"       // revoke any token
	ScopeRevocationsRead = "revocations:read" // read the revocation feed
)

// ScopeDefinition is a scope that an API offers.
type ScopeDefinition struct {
	Name        string
	Description string
}

// API is something that is called: a resource server, with the audience by which tokens name it.
type API struct {
	ID       APIID
	Revision int64 // counts the changes of this row, from 1; 0 is an API that is not stored yet
	// Identifier is the audience: an absolute URI without fragment (RFC 8707 §2), compared byte for byte.
	Identifier string
	Name       string
	Scopes     []ScopeDefinition
	Format     Format
	Lifetime   time.Duration // of its tokens, whole seconds, MinLifetime to MaxLifetime
	Algorithm  Algorithm     // that signs its JWTs
	Constraint Constraint    // on what its tokens are bound to
	// Servers are the clients that serve this API: they may introspect its tokens and read the revocation feed.
	Servers []ClientID
	Created time.Time
	Updated time.Time
}

const maxIdentifier = 500

// BuiltIn reports whether the API belongs to Countersign itself. Case carries no meaning in what begins a URN (RFC 8141 §3.1): nobody may
// have one that others take for ours.
func (a *API) BuiltIn() bool {
	return len(a.Identifier) >= len(BuiltInPrefix) && strings.EqualFold(a.Identifier[:len(BuiltInPrefix)], BuiltInPrefix)
}

// ServedBy reports whether the client serves the API.
func (a *API) ServedBy(id ClientID) bool { return slices.Contains(a.Servers, id) }

// ScopeNames returns the set of scopes that the API offers.
func (a *API) ScopeNames() Scopes {
	names := make([]string, len(a.Scopes))
	for i, s := range a.Scopes {
		names[i] = s.Name
	}
	return NewScopes(names...)
}

// Validate returns fault.InvalidRequest, with the field at fault, for an API that must not be stored.
func (a *API) Validate() error {
	if !ValidResource(a.Identifier) || len(a.Identifier) > maxIdentifier {
		return fault.New(fault.InvalidRequest, "must be an absolute URI without fragment, of at most 500 characters").At("identifier")
	}
	if err := validLine("name", a.Name, 1); err != nil {
		return err
	}
	if err := a.validateScopes(); err != nil {
		return err
	}
	switch a.Format {
	case JWT, Opaque:
	default:
		return fault.New(fault.InvalidRequest, `allowed are "jwt" and "opaque"`).At("token_format")
	}
	if a.Lifetime < MinLifetime || a.Lifetime > MaxLifetime || a.Lifetime%time.Second != 0 {
		return fault.New(fault.InvalidRequest, "must be 60 to 86400 whole seconds").At("token_lifetime")
	}
	if !slices.Contains(Algorithms(), a.Algorithm) {
		return fault.New(fault.InvalidRequest, `allowed are "ES256", "RS256", "PS256" and "EdDSA"`).At("signing_algorithm")
	}
	switch a.Constraint {
	case Unconstrained, AnyBinding, DPoPBinding, CertificateTLS:
	default:
		return fault.New(fault.InvalidRequest, `allowed are "any", "dpop", "mutual_tls" and nothing`).At("sender_constraint")
	}
	return nil
}

func (a *API) validateScopes() error {
	if len(a.Scopes) > MaxScopes {
		return fault.New(fault.InvalidRequest, "at most 256 scopes are allowed").At("scopes")
	}
	for i, s := range a.Scopes {
		if !validScope(s.Name) {
			return fault.New(fault.InvalidRequest, "a scope has 1 to 128 printable ASCII characters without space, quote or backslash").At("scopes")
		}
		if err := validText("scopes", s.Description, 0, maxText); err != nil {
			return err
		}
		if slices.ContainsFunc(a.Scopes[:i], func(o ScopeDefinition) bool { return o.Name == s.Name }) {
			return fault.New(fault.InvalidRequest, "a scope is named twice").At("scopes")
		}
	}
	return nil
}

// ValidResource reports whether text is what RFC 8707 §2 allows as a resource: an absolute URI without fragment, here in
// printable ASCII and without the two characters that would need escaping in JSON.
func ValidResource(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	parsed, err := url.Parse(text)
	return err == nil && parsed.IsAbs() && !strings.Contains(text, "#") && (parsed.Host != "" || parsed.Opaque != "")
}
