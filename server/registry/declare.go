package registry

import (
	"time"

	"github.com/countersign/countersign/server/auth"
)

// Document declares what shall exist: APIs, known by their identifiers, trusted issuers and clients, known by their names. Countersign's own APIs are
// never declared, only granted. What a member leaves out has its default, but for those that say otherwise.
type Document struct {
	APIs    []DeclaredAPI
	Issuers []DeclaredIssuer
	Clients []DeclaredClient
}

// The bounds of a document. One transaction carries it out, for which other changes wait.
const (
	MaxDeclaredAPIs    = 2_000
	MaxDeclaredClients = 20_000
	MaxDeclaredIssuers = 1_000
	MaxDeclaredGrants  = 100_000 // grants, grants to exchange and servers, together
	// MaxDeclaredValues bounds the secrets that are brought from outside: each is hashed by argon2id, and compared by it.
	MaxDeclaredValues = 200
)

// DeclaredAPI is an API that shall exist.
type DeclaredAPI struct {
	ID         string // only looked at when the API is made, so that a system can be made anew with the same ids; empty: a new one
	Identifier string
	Name       string
	Scopes     []auth.ScopeDefinition
	Format     auth.Format
	Lifetime   time.Duration
	Algorithm  auth.Algorithm
	Constraint auth.Constraint
	Servers    []string // names of the clients that serve it
}

// DeclaredIssuer is a trusted issuer that shall exist.
type DeclaredIssuer struct {
	ID     string // only looked at when the issuer is made; empty: a new one
	Name   string
	Issuer string
	auth.Trust
	Disabled *bool // in place of the status; nil: what it is
}

// DeclaredClient is a client that shall exist.
type DeclaredClient struct {
	ID          string // only looked at when the client is made; empty: a new one
	Name        string
	Description string
	Owner       string
	Labels      map[string]string
	// Disabled is nil where the document leaves it to others: a client that was disabled in an emergency stays so.
	Disabled   *bool
	AuthMethod auth.Method
	Proofs     auth.Proofs // but for its rules
	Rules      []DeclaredRule
	// DefaultResource is the identifier of an API that the client is granted; empty: none; nil: what it is, or what the first grant makes it.
	DefaultResource *string
	Grants          []DeclaredGrant
	Exchanges       []DeclaredExchange
	Secret          *DeclaredSecret
}

// DeclaredGrant is a grant that a client shall have, with exactly these scopes.
type DeclaredGrant struct {
	API    string // identifier
	Scopes []string
	MayAct string // name of the only client that may exchange its tokens; empty: whoever may
}

// DeclaredRule is a rule of a client.
type DeclaredRule struct {
	Issuer string // name of a trusted issuer
	Claims []auth.ClaimMatch
}

// DeclaredExchange is a grant to exchange tokens that a client shall have, with exactly these scopes.
type DeclaredExchange struct {
	Source, Target string // identifiers
	Scopes         []auth.ExchangeScope
}

// DeclaredSecret says that a client shall have a secret: exactly one of the two.
type DeclaredSecret struct {
	// Value is one from outside, which is added unless a secret of the client that can be used has it.
	Value auth.SecretValue
	// Generate asks for a secret to be made unless the client has one that can be used.
	Generate bool
}

// api returns what the declaration makes of an API. It may not be valid.
func (d *DeclaredAPI) api() auth.API {
	a := auth.API{
		Identifier: d.Identifier, Name: d.Name, Scopes: d.Scopes, Format: d.Format, Lifetime: d.Lifetime, Algorithm: d.Algorithm,
		Constraint: d.Constraint,
	}
	defaultAPI(&a)
	return a
}

// client returns what the declaration makes of a client that was what before is. It may not be valid.
func (d *DeclaredClient) client(before auth.Client) auth.Client {
	c := before
	c.Name, c.Description, c.Owner, c.Labels, c.AuthMethod, c.Proofs = d.Name, d.Description, d.Owner, d.Labels, d.AuthMethod, d.Proofs
	if d.Disabled != nil {
		c.Status = auth.Active
		if *d.Disabled {
			c.Status = auth.Disabled
		}
	}
	defaultClient(&c)
	return c
}

// issuer returns what the declaration makes of a trusted issuer that was what before is. It may not be valid.
func (d *DeclaredIssuer) issuer(before auth.TrustedIssuer) auth.TrustedIssuer {
	i := before
	i.Name, i.Issuer, i.Trust = d.Name, d.Issuer, d.Trust
	i.Status = before.Status
	if d.Disabled != nil {
		i.Status = auth.Active
		if *d.Disabled {
			i.Status = auth.Disabled
		}
	}
	defaultIssuer(&i)
	return i
}
