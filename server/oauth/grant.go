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
	httpx.From(ctx).Client = s.request.Credentials.ClientID
	return &fosite.DefaultClient{ID: s.request.Credentials.ClientID}, nil
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

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler: it decides.
func (g *clientCredentials) HandleTokenEndpointRequest(ctx context.Context, _ fosite.AccessRequester) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	return g.decide(s)
}

func (g *clientCredentials) decide(s *session) (err error) {
	asked := auth.TokenRequest{Caller: s.caller, Resource: s.request.Resource, Scope: s.request.Scope}
	s.decision, err = auth.Decide(g.Directory, asked, s.revision)
	return err
}

// maxRounds bounds how often one request is decided: each round means that the change log moved meanwhile.
const maxRounds = 5

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler: it issues what was decided. If the change log went on
// meanwhile, everything is decided again from what it says now.
func (g *clientCredentials) PopulateTokenEndpointResponse(ctx context.Context, _ fosite.AccessRequester, answer fosite.AccessResponder) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	for range maxRounds {
		err := g.issue(ctx, s)
		if err == nil {
			answer.SetAccessToken(s.response.AccessToken) // fosite refuses to go on without
			answer.SetTokenType(s.response.TokenType)
			return nil
		}
		if _, stale := errors.AsType[*auth.StaleError](err); !stale {
			return err
		}
		s.revision = g.Directory.Sequence()
		if !g.Authenticator.Still(s.caller) {
			return fault.New(fault.InvalidClient, "client authentication failed")
		}
		if err := g.decide(s); err != nil {
			return err
		}
	}
	return fault.New(fault.Unavailable, "permissions change too fast for a token to be issued")
}

// issue records and makes one token. A JWT is signed while its row is being committed.
func (g *clientCredentials) issue(ctx context.Context, s *session) error {
	token, api := s.decision.Token(g.Now()), s.decision.API
	var text string
	if api.Format == auth.Opaque {
		text, token.Proof = auth.MintOpaque(token.ID)
	}
	committed, err := g.Writer.Write(ctx, token)
	if err != nil {
		return err
	}
	var unsigned error
	if api.Format == auth.JWT {
		text, _, unsigned = g.Signer.Sign(api.Algorithm, claims(token, api))
	}
	if err := errors.Join(committed(ctx), unsigned); err != nil {
		return err
	}
	if api.Format == auth.Opaque {
		g.Store.Remember(auth.KeyOf(text), token)
	}
	s.response = &Response{
		AccessToken: text, TokenType: "Bearer", Scope: token.Scope,
		ExpiresIn: int64(token.Expires.Sub(token.Issued) / time.Second),
	}
	return nil
}

func claims(t *auth.Token, api *auth.API) keys.Claims {
	return keys.Claims{
		ID: t.ID, Client: t.Client, Audience: api.Identifier, Scope: t.Scope,
		Issued: t.Issued, Expires: t.Expires, Revision: t.Revision, Credential: t.Credential,
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
