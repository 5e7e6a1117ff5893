// Package oauth is the protocol of the token endpoint (RFC 6749 §3.2), on ory/fosite: it is the only package that knows
// fosite. Client authentication and the grants are ours. An exchange goes through fosite, in its shapes; fosite's errors and types end here.
// Client credentials, which nearly every request is about, need none of what fosite does beyond that (docs/decisions/0018-hot-path.md).
package oauth

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// Writer records tokens, as issue.Writer does.
type Writer interface {
	// Issue returns the token that decide made once its row is committed. If the change log moved on meanwhile, decide is
	// called again; its errors are returned as they are. sign, unless it is nil, runs while the row is being committed, after
	// each decide. Both are called by the goroutine that calls Issue. A failure of the storage is fault.Unavailable.
	Issue(ctx context.Context, decide func() (*auth.Token, error), sign func(*auth.Token) error) (*auth.Token, error)
}

// Signer signs JWT access tokens (RFC 9068).
type Signer interface {
	// Sign returns the token, and the key that signed it; fault.Unavailable if no key of the algorithm can sign.
	Sign(alg auth.Algorithm, c keys.Claims) (token string, by auth.KeyID, err error)
}

// Store is told of opaque tokens, so that they need not be looked up.
type Store interface {
	// Remember records a token for the rest of its life, as far as there is room. It does not wait.
	Remember(ctx context.Context, key auth.TokenKey, t *auth.Token)
}

// Uses is told what clients do. Neither method waits.
type Uses interface {
	// Authenticated is told of a client that proved who it is by one of its secrets.
	Authenticated(client auth.ClientID, credential auth.SecretID, source netip.Addr)
	// Issued is told of a token whose row is committed.
	Issued(t *auth.Token)
}

// Authenticator tells which client is calling, as auth.Authenticator does.
type Authenticator interface {
	Authenticate(ctx context.Context, c auth.Credentials) (*auth.Caller, error)
	Still(ctx context.Context, c *auth.Caller) bool
}

// Budget bounds the tokens of a client, as abuse.Guard does. Neither method waits.
type Budget interface {
	// Spend counts a token that is about to be issued, or returns fault.TooMany.
	Spend(client auth.ClientID, api *auth.API, source netip.Addr) error
	// Unspend takes that back: the token was not issued.
	Unspend(client auth.ClientID, api *auth.API, source netip.Addr)
}

// Config says what an Endpoint needs. Every field is required.
type Config struct {
	Authenticator Authenticator
	Budget        Budget
	Directory     auth.Directory
	Tokens        Tokens
	Writer        Writer
	Signer        Signer
	Store         Store
	Uses          Uses
	Now           func() time.Time
}

// Endpoint answers token requests. Its methods may be called by any number of goroutines.
type Endpoint struct {
	config Config
	engine *fosite.Fosite
	// exchange stands for the requests for exchanges towards fosite, which only reads it: what else was sent is in the session.
	exchange *http.Request
}

// New returns the endpoint. It does no I/O.
func New(c Config) *Endpoint {
	// fosite's storage is nil: what would ask it (its own client authentication and its own handlers) is not used.
	return &Endpoint{
		config: c,
		engine: fosite.NewOAuth2Provider(nil, &fosite.Config{
			ClientAuthenticationStrategy: c.authenticateForFosite,
			TokenEndpointHandlers:        fosite.TokenEndpointHandlers{&tokenExchange{c}},
		}),
		exchange: parsed(GrantTokenExchange),
	}
}

// GrantTypes lists the values of `grant_type` that are served.
func (*Endpoint) GrantTypes() []string { return []string{grantClientCredentials, GrantTokenExchange} }

// Request is a token request as it came in the form, RFC 6749 §4.4.2 and RFC 8707 §2.
type Request struct {
	Credentials auth.Credentials
	GrantType   string
	Scope       string
	Resource    []string
	Exchange    *Exchange // of GrantTokenExchange alone, which needs it
	// Certificate is SHA-256 of the certificate that the client's connection has, zero if there is none.
	Certificate [sha256.Size]byte
	// Prove checks the request's DPoP proof, once the client has authenticated. It returns the thumbprint of the key and the use that the proof is
	// good for; use is nil if there is no proof. Nil: there is none.
	Prove func() (jwk [sha256.Size]byte, use *auth.ProofUse, err error)
}

// Response is a successful answer, RFC 6749 §5.1.
type Response struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Scope       string `json:"scope"`
	// IssuedTokenType is there for an exchange alone, RFC 8693 §2.2.1.
	IssuedTokenType string `json:"issued_token_type,omitempty"`
}

// Token issues a token. The token's row is committed when it returns one. Errors are those of Authenticator,
// auth.Decide, auth.DecideExchange, Budget and Writer, fault.InvalidRequest without a grant type and fault.UnsupportedGrantType for one not served.
func (e *Endpoint) Token(ctx context.Context, r Request) (*Response, error) {
	s := &session{request: r}
	var err error
	switch r.GrantType {
	case grantClientCredentials:
		err = e.config.clientCredentials(ctx, s)
	case GrantTokenExchange:
		err = e.throughFosite(ctx, s)
	case "":
		err = fault.New(fault.InvalidRequest, "the parameter is missing").At("grant_type")
	default:
		err = fault.New(fault.UnsupportedGrantType, "supported are "+strings.Join(e.GrantTypes(), " and ")).At("grant_type")
	}
	if err != nil {
		return nil, err
	}
	return &s.response, nil
}

// session carries one request through its grant.
type session struct {
	request  Request
	revision uint64 // of the directory, read before anything was decided
	caller   *auth.Caller
	exchange *auth.ExchangeRequest // nil: the token is asked for in the client's own name
	held     auth.Confirmation     // what the client proved to hold
	uses     []auth.ProofUse       // of the proof of that
	decision *auth.Decision
	decided  bool   // a row was made of the decision
	text     string // of the token
	response Response
}
