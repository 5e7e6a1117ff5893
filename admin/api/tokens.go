package api

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

type tokensInput struct {
	Paging

	Client auth.ClientID `path:"client_id"`
}

type tokenInput struct {
	Token auth.TokenID `path:"jti"`
}

type revocationInput struct {
	Body wire.RevocationBody
}

type leakInput struct {
	Body wire.LeakBody
}

// tokens adds the operations on tokens, and the report of leaks.
func (s *service) tokens() {
	const ofClient, each = "/clients/{client_id}/tokens", "/tokens/{jti}"
	add(s, operation{
		id: "listTokens", method: http.MethodGet, path: ofClient, tag: tagTokens, scopes: needs(auth.ScopeTokensRead),
		summary: "List the active tokens of a client", about: "Those that will expire first come first, by and large.", faults: codes{fault.NotFound},
	}, s.listTokens)
	add(s, operation{
		id: "revokeClientTokens", method: http.MethodDelete, path: ofClient, tag: tagTokens, scopes: needs(auth.ScopeTokensWrite),
		summary: "Revoke all tokens of a client", about: "It may ask for new ones: disable it to prevent that.", faults: codes{fault.NotFound},
	}, s.revokeClientTokens)
	add(s, operation{
		id: "getToken", method: http.MethodGet, path: each, tag: tagTokens, scopes: needs(auth.ScopeTokensRead), summary: "Read a token",
		about: "Without what its bearer shows.", faults: codes{fault.NotFound},
	}, s.getToken)
	add(s, operation{
		id: "revokeToken", method: http.MethodDelete, path: each, tag: tagTokens, scopes: needs(auth.ScopeTokensWrite), summary: "Revoke a token",
		about: "One that is expired or revoked already is hit no more, which is no error.", faults: codes{fault.NotFound},
	}, s.revokeToken)
	add(s, operation{
		id: "revokeTokens", method: http.MethodPost, path: "/revocations", tag: tagTokens, scopes: needs(auth.ScopeTokensWrite),
		summary: "Revoke a set of tokens",
		about: "Every token of the set that was issued up to now is refused within a second. To revoke by `kid` is to withdraw the key, which needs " +
			"`keys:write` too.",
		body: true, sent: wire.RevocationBody{Client: exampleClient, API: exampleAPI}, faults: codes{fault.NotFound},
	}, s.revokeTokens)
	add(s, operation{
		id: "reportLeak", method: http.MethodPost, path: "/leaks", tag: tagTokens, scopes: needs(auth.ScopeSecretsWrite), summary: "Report a leaked value",
		about: "A client secret is disabled, the tokens that were asked for with it are taken back, and so it goes with the secrets that were made with " +
			"it. An access token is revoked. Secrets that were brought from outside cannot be found by their value. The value is not stored.",
		body: true,
	}, s.reportLeak)
}

func (s *service) listTokens(ctx context.Context, in *tokensInput) (*page[wire.Token], error) {
	c := from(ctx)
	at, err := in.place(c)
	if err != nil {
		return nil, err
	}
	var after auth.TokenID
	if at != nil {
		after = at.ID
	}
	found, err := c.registry.ClientTokens(ctx, c.actor, in.Client, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return listed(c, in.Paging, found, showToken, func(d *registry.TokenDetail) cursor { return cursor{ID: d.ID[:]} }), nil
}

func (s *service) revokeClientTokens(ctx context.Context, in *clientInput) (*answer[wire.Revocation], error) {
	c := from(ctx)
	return showRevocation(c.registry.Revoke(ctx, c.actor, registry.Selector{Client: in.Client}))
}

func (s *service) getToken(ctx context.Context, in *tokenInput) (*answer[wire.Token], error) {
	c := from(ctx)
	found, err := c.registry.Token(ctx, c.actor, in.Token)
	if err != nil {
		return nil, err
	}
	return answered(showToken(found), nil)
}

func (s *service) revokeToken(ctx context.Context, in *tokenInput) (*answer[wire.Hit], error) {
	c := from(ctx)
	hit, err := c.registry.RevokeToken(ctx, c.actor, in.Token)
	return answered(hitOf(hit), err)
}

func (s *service) revokeTokens(ctx context.Context, in *revocationInput) (*answer[wire.Revocation], error) {
	c := from(ctx)
	set, err := selectorOf(&in.Body)
	if err != nil {
		return nil, err
	}
	return showRevocation(c.registry.Revoke(ctx, c.actor, set))
}

// selectorOf reads the ids. One that is malformed names nothing there is.
func selectorOf(body *wire.RevocationBody) (set registry.Selector, err error) {
	set.All = body.All
	for _, id := range []struct {
		name, text string
		read       func([]byte) error
	}{
		{"client_id", body.Client, set.Client.UnmarshalText},
		{"api_id", body.API, set.API.UnmarshalText},
		{"secret_id", body.Secret, set.Credential.UnmarshalText},
		{"kid", body.Key, set.Key.UnmarshalText},
	} {
		if id.text == "" {
			continue
		}
		if nobody(id.text) {
			return set, fault.New(fault.NotFound, "it does not exist").At(id.name)
		}
		if err := id.read([]byte(id.text)); err != nil {
			return set, fault.From(err).At(id.name)
		}
	}
	return set, nil
}

func (s *service) reportLeak(ctx context.Context, in *leakInput) (*answer[wire.Leak], error) {
	c := from(ctx)
	leak, err := c.registry.ReportLeak(ctx, c.actor, in.Body.Value)
	if err != nil {
		return nil, err
	}
	return answered(wire.Leak{
		Kind: string(leak.Kind), Client: textUnlessZero(leak.Client), Secret: textUnlessZero(leak.Secret), Token: textUnlessZero(leak.Token),
		Reached: textOf(leak.Reached), Hit: hitOf(leak.Revoked),
	}, nil)
}
