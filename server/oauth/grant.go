package oauth

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

const grantClientCredentials = "client_credentials"

// clientCredentials serves the grant of RFC 6749 §4.4: the client authenticates (§4.4.2), the grant decides, a token is issued. What it
// decided to issue is counted.
func (c *Config) clientCredentials(ctx context.Context, s *session) error {
	if err := c.authenticate(ctx, s); err != nil {
		return err
	}
	if err := c.decide(s); err != nil {
		return err
	}
	client, api, from := s.caller.Client.ID, s.decision.API, httpx.From(ctx).Address
	if err := c.Budget.Spend(client, api, from); err != nil {
		return err
	}
	if err := c.issue(ctx, s); err != nil {
		c.Budget.Unspend(client, api, from)
		return err
	}
	return nil
}

// authenticate finds out who sent the request, and what else it proved. No grant is for clients that do not authenticate.
func (c *Config) authenticate(ctx context.Context, s *session) (err error) {
	s.revision = c.Directory.Sequence()
	if s.caller, err = c.Authenticator.Authenticate(ctx, s.request.Credentials); err != nil {
		return err
	}
	x := httpx.From(ctx)
	if x.Client = s.request.Credentials.ClientID; x.Client == "" { // an assertion names it
		x.Client = s.caller.Client.ID.String()
	}
	c.Uses.Authenticated(s.caller.Client.ID, s.caller.Credential, x.Address)
	return s.prove()
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

// issue records and makes the token. A JWT is signed while its row is being committed.
func (c *Config) issue(ctx context.Context, s *session) error {
	t, err := c.Writer.Issue(ctx,
		func() (*auth.Token, error) { return c.row(ctx, s) },
		func(t *auth.Token) error { return c.sign(s, t) })
	if err != nil {
		return s.replayed(err)
	}
	c.Uses.Issued(t)
	if s.decision.API.Format == auth.Opaque {
		c.Store.Remember(ctx, auth.KeyOf(s.text), t)
	}
	s.response = Response{
		AccessToken: s.text, TokenType: t.Confirmation.TokenType(), Scope: t.Scope, ExpiresIn: int64(t.Expires.Sub(t.Issued) / time.Second),
	}
	if s.exchange != nil {
		s.response.IssuedTokenType = s.request.Exchange.issuedType()
	}
	return nil
}

// row makes the token that was decided on. That it is called again means that the row was refused as stale.
func (c *Config) row(ctx context.Context, s *session) (*auth.Token, error) {
	if s.decided {
		if err := c.decideAgain(ctx, s); err != nil {
			return nil, err
		}
	}
	s.decided = true
	t := s.decision.Token(c.Now())
	if !t.Live(t.Issued) {
		return nil, fault.New(fault.InvalidGrant, "the token has expired").At("subject_token")
	}
	if s.decision.API.Format == auth.Opaque {
		s.text = t.Mint()
	}
	return t, nil
}

func (c *Config) sign(s *session, t *auth.Token) (err error) {
	if s.decision.API.Format == auth.JWT {
		s.text, _, err = c.Signer.Sign(s.decision.API.Algorithm, claims(t, s.decision.API))
	}
	return err
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
