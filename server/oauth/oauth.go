// Package oauth is the protocol of the token endpoint (RFC 6749 §3.2), on ory/fosite: it is the only package that knows
// fosite. Client authentication and the grant are ours, in fosite's shapes; fosite's errors and types end here.
package oauth

import (
	"context"
	"crypto/sha256"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
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
	engine *fosite.Fosite
	// forms stand for the requests of each grant type towards fosite, which only reads them: what else was sent is in the session.
	forms map[string]*http.Request
}

// New returns the endpoint. It does no I/O.
func New(c Config) *Endpoint {
	// fosite's storage is nil: what would ask it (its own client authentication and its own handlers) is not used.
	return &Endpoint{
		engine: fosite.NewOAuth2Provider(nil, &fosite.Config{
			ClientAuthenticationStrategy: c.authenticate,
			TokenEndpointHandlers:        fosite.TokenEndpointHandlers{&clientCredentials{c}, &tokenExchange{c}},
		}),
		forms: map[string]*http.Request{
			grantClientCredentials: parsed(grantClientCredentials), GrantTokenExchange: parsed(GrantTokenExchange),
		},
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
	// fosite splits the parameter at spaces, and answers invalid_request to a grant type that nobody handles.
	form := e.forms[r.GrantType]
	switch {
	case r.GrantType == "":
		return nil, fault.New(fault.InvalidRequest, "the parameter is missing").At("grant_type")
	case form == nil:
		return nil, fault.New(fault.UnsupportedGrantType, "supported are "+strings.Join(e.GrantTypes(), " and ")).At("grant_type")
	}
	s := &session{request: r}
	access, err := e.engine.NewAccessRequest(ctx, form, s)
	if err != nil {
		return nil, translate(err)
	}
	if _, err := e.engine.NewAccessResponse(ctx, access); err != nil {
		return nil, translate(err)
	}
	return s.response, nil
}

// parsed is a request as fosite wants it, with a form that has been read already: fosite's own reading knows no bounds.
func parsed(grantType string) *http.Request {
	form := url.Values{"grant_type": {grantType}}
	return &http.Request{Method: http.MethodPost, Form: form, PostForm: form, MultipartForm: &multipart.Form{}}
}

// session carries one request through fosite.
type session struct {
	request  Request
	revision uint64 // of the directory, read before anything was decided
	caller   *auth.Caller
	exchange *auth.ExchangeRequest // nil: the token is asked for in the client's own name
	held     auth.Confirmation     // what the client proved to hold
	uses     []auth.ProofUse       // of the proof of that
	decision *auth.Decision
	response *Response
}

// SetExpiresAt implements fosite.Session. Expiry is in the decision.
func (*session) SetExpiresAt(fosite.TokenType, time.Time) {}

// GetExpiresAt implements fosite.Session.
func (*session) GetExpiresAt(fosite.TokenType) time.Time { return time.Time{} }

// GetUsername implements fosite.Session. There are no users.
func (*session) GetUsername() string { return "" }

// GetSubject implements fosite.Session.
func (s *session) GetSubject() string { return s.request.Credentials.ClientID }

// Clone implements fosite.Session.
func (s *session) Clone() fosite.Session {
	same := *s
	return &same
}
