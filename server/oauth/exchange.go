package oauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/ory/fosite"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// GrantTokenExchange is the grant type of RFC 8693 §2.1.
const GrantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // a name, no token

// The types of tokens that are taken and issued, RFC 8693 §3.
const (
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // a name, no token
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// Tokens finds the token behind what was presented, as auth.Tokens does.
type Tokens interface {
	// Find returns nil for what is no token of this server. Whether the token it returns is live is not looked at.
	Find(ctx context.Context, caller *auth.Caller, presented string) (*auth.Token, error)
}

// Exchange is what a request for an exchange has beside the parameters of every token request, RFC 8693 §2.1. It prints as [redacted].
type Exchange struct {
	Audience           []string
	SubjectToken       string
	SubjectTokenType   string
	ActorToken         string
	ActorTokenType     string
	RequestedTokenType string
}

// Format implements fmt.Formatter without the tokens.
func (Exchange) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer without the tokens.
func (Exchange) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// validate refuses what no token could make right.
func (e *Exchange) validate() error {
	invalid := func(field, detail string) error { return fault.New(fault.InvalidRequest, detail).At(field) }
	const missing = "the parameter is missing"
	switch {
	case e.SubjectToken == "":
		return invalid("subject_token", missing)
	case e.SubjectTokenType == "":
		return invalid("subject_token_type", missing)
	case !fits(e.SubjectToken, e.SubjectTokenType):
		return invalid("subject_token_type", "allowed are "+typeAccessToken+" and, for a JWT, "+typeJWT)
	case e.ActorToken == "" && e.ActorTokenType != "":
		return invalid("actor_token", missing)
	case e.ActorToken != "" && e.ActorTokenType == "":
		return invalid("actor_token_type", missing)
	case e.ActorToken != "" && !fits(e.ActorToken, e.ActorTokenType):
		return invalid("actor_token_type", "allowed are "+typeAccessToken+" and, for a JWT, "+typeJWT)
	case e.RequestedTokenType != "" && e.RequestedTokenType != typeAccessToken && e.RequestedTokenType != typeJWT:
		return invalid("requested_token_type", "allowed are "+typeAccessToken+" and "+typeJWT)
	}
	return nil
}

// fits reports whether a presented token can be of the type.
func fits(presented, kind string) bool {
	return kind == typeAccessToken || kind == typeJWT && !auth.LooksOpaque(presented)
}

// issuedType is the `issued_token_type` of the answer, RFC 8693 §2.2.1.
func (e *Exchange) issuedType() string {
	if e.RequestedTokenType == typeJWT {
		return typeJWT
	}
	return typeAccessToken
}

// tokenExchange is the grant of RFC 8693, in fosite's shape.
type tokenExchange struct{ Config }

// CanSkipClientAuth implements fosite.TokenEndpointHandler: only confidential clients may use this grant.
func (*tokenExchange) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (*tokenExchange) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(GrantTokenExchange)
}

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler: it finds the tokens that were presented, and decides. A client that may
// exchange nothing is told so whatever it sent, and makes the server look nothing up.
func (g *tokenExchange) HandleTokenEndpointRequest(ctx context.Context, _ fosite.AccessRequester) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	sent := s.request.Exchange
	found := &auth.ExchangeRequest{HasActor: sent.ActorToken != "", JWT: sent.RequestedTokenType == typeJWT}
	s.exchange = found
	if record := g.Directory.Client(s.caller.Client.ID); record == nil || len(record.Exchanges) == 0 {
		return g.decide(s)
	}
	if err := sent.validate(); err != nil {
		return err
	}
	if found.Subject, err = g.Tokens.Find(ctx, s.caller, sent.SubjectToken); err != nil {
		return err
	}
	if found.HasActor {
		if found.Actor, err = g.Tokens.Find(ctx, s.caller, sent.ActorToken); err != nil {
			return err
		}
	}
	return g.decide(s)
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler: it issues what was decided.
func (g *tokenExchange) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, answer fosite.AccessResponder) error {
	if !g.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if err := g.issue(ctx, s); err != nil {
		return err
	}
	answer.SetAccessToken(s.response.AccessToken) // fosite refuses to go on without
	answer.SetTokenType(s.response.TokenType)
	return nil
}

// decideExchange decides about what was found.
func (c *Config) decideExchange(s *session, asked auth.TokenRequest) (*auth.Decision, error) {
	found := *s.exchange
	found.TokenRequest = asked
	found.Resource = slices.Concat(asked.Resource, s.request.Exchange.Audience)
	return auth.DecideExchange(c.Directory, found, s.revision, c.Now())
}
