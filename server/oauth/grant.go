package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

const grantClientCredentials = "client_credentials"

// authenticate is the fosite.ClientAuthenticationStrategy.
func (c *Config) authenticate(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	s.revision = c.Directory.Sequence()
	if s.caller, err = c.Authenticator.Authenticate(ctx, s.request.Credentials); err != nil {
		return nil, err
	}
	x := httpx.From(ctx)
	x.Client = s.caller.Client.ID.String()
	c.Uses.Authenticated(s.caller.Client.ID, s.caller.Credential, x.Address)
	return &fosite.DefaultClient{ID: x.Client}, s.prove()
}

// prove finds out what the client holds.
func (s *session) prove() error {
	s.held.Certificate = s.request.Certificate
	if s.request.Prove == nil {
		return nil
	}
	jwk, use, err := s.request.Prove()
	if err != nil || use == nil {
		return err
	}
	s.held.JWK, s.uses = jwk, []auth.ProofUse{*use}
	return nil
}

var errNoSession = errors.New("the request lost its session")

func sessionOf(ctx context.Context) (*session, error) {
	requester, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if !ok {
		return nil, errNoSession
	}
	s, ok := requester.GetSession().(*session)
	if !ok {
		return nil, errNoSession
	}
	return s, nil
}

// clientCredentials is the grant of RFC 6749 §4.4, in fosite's shape.
type clientCredentials struct{ Config }

// CanSkipClientAuth implements fosite.TokenEndpointHandler: only confidential clients may use this grant.
func (*clientCredentials) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (*clientCredentials) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantClientCredentials)
}

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler: it decides, and counts what it decided to issue.
func (g *clientCredentials) HandleTokenEndpointRequest(ctx context.Context, _ fosite.AccessRequester) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if err := g.decide(s); err != nil {
		return err
	}
	return g.Budget.Spend(s.caller.Client.ID, s.decision.API, httpx.From(ctx).Address)
}

func (c *Config) decide(s *session) (err error) {
	asked := auth.TokenRequest{Caller: s.caller, Resource: s.request.Resource, Scope: s.request.Scope, Confirmation: s.held, Uses: s.uses}
	if s.exchange != nil {
		s.decision, err = c.decideExchange(s, asked)
		return err
	}
	s.decision, err = auth.Decide(c.Directory, asked, s.revision)
	return err
}

// decideAgain makes everything that the request rests on anew, from what the directory says now.
func (c *Config) decideAgain(ctx context.Context, s *session) error {
	s.revision = c.Directory.Sequence()
	if !c.Authenticator.Still(ctx, s.caller) {
		return fault.New(fault.InvalidClient, "client authentication failed")
	}
	return c.decide(s)
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler: it issues what was decided. Fosite calls that of every handler.
func (g *clientCredentials) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, answer fosite.AccessResponder) error {
	if !g.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	counted := s.decision.API
	if err := g.respond(ctx, answer); err != nil {
		g.Budget.Unspend(s.caller.Client.ID, counted, httpx.From(ctx).Address)
		return err
	}
	return nil
}

func (c *Config) respond(ctx context.Context, answer fosite.AccessResponder) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if err := c.issue(ctx, s); err != nil {
		return err
	}
	answer.SetAccessToken(s.response.AccessToken) // fosite refuses to go on without
	answer.SetTokenType(s.response.TokenType)
	return nil
}

// issue records and makes the token. A JWT is signed while its row is being committed.
func (c *Config) issue(ctx context.Context, s *session) error {
	var text string
	decided := true // for the first round, before the row was queued
	decide := func() (*auth.Token, error) {
		if !decided {
			if err := c.decideAgain(ctx, s); err != nil {
				return nil, err
			}
		}
		decided = false
		t := s.decision.Token(c.Now())
		if !t.Live(t.Issued) {
			return nil, fault.New(fault.InvalidGrant, "the token has expired").At("subject_token")
		}
		if s.decision.API.Format == auth.Opaque {
			text = t.Mint()
		}
		return t, nil
	}
	sign := func(t *auth.Token) (err error) {
		if s.decision.API.Format == auth.JWT {
			text, _, err = c.Signer.Sign(s.decision.API.Algorithm, claims(t, s.decision.API))
		}
		return err
	}
	t, err := c.Writer.Issue(ctx, decide, sign)
	if err != nil {
		return s.replayed(err)
	}
	c.Uses.Issued(t)
	if s.decision.API.Format == auth.Opaque {
		c.Store.Remember(ctx, auth.KeyOf(text), t)
	}
	s.response = &Response{
		AccessToken: text, TokenType: t.Confirmation.TokenType(), Scope: t.Scope, ExpiresIn: int64(t.Expires.Sub(t.Issued) / time.Second),
	}
	if s.exchange != nil {
		s.response.IssuedTokenType = s.request.Exchange.issuedType()
	}
	return nil
}

// replayed says which proof it was that was used before.
func (s *session) replayed(err error) error {
	if _, is := errors.AsType[*auth.ReplayError](err); !is {
		return err
	}
	if refused := s.caller.RefuseReplay(err); refused != err { //nolint:errorlint // the very error, or another one
		return refused
	}
	return fault.Wrap(fault.InvalidProof, "the proof was used before", err)
}

func claims(t *auth.Token, api *auth.API) keys.Claims {
	return keys.Claims{
		ID: t.ID, Client: t.Client, Audience: api.Identifier, Scope: t.Scope,
		Issued: t.Issued, Expires: t.Expires, Revision: t.Revision, Credential: t.Credential,
		Confirmation: t.Confirmation, Lineage: t.Lineage,
	}
}

// translate ends fosite's errors: ours come out as they went in.
func translate(err error) error {
	if _, ours := errors.AsType[*fault.Error](err); ours {
		return err
	}
	if theirs, ok := errors.AsType[*fosite.RFC6749Error](err); ok {
		return fault.Wrap(fault.Internal, "", theirs)
	}
	return err
}
