package sdk

import (
	"context"
	"log/slog"
	"strings"

	"github.com/countersign/countersign/sdk/internal/refresh"
	"github.com/countersign/countersign/sdk/internal/sharing"
)

// share returns what gets a token from those that instances share, and from the server if there is none.
func (c *Client) share(resource string, scopes []string) fetchFunc {
	shared := sharing.New(sharing.Config{
		Store: c.config.shared, Material: c.config.material, Lease: c.config.timeout,
		Patience: c.config.maxWait / 4 * 3, // what is left is for the server
		Issuer:   c.authority.identifier, ClientID: c.authority.clientID, Resource: resource, Scopes: scopes,
		Holder: c.holder,
		Fetch: func(ctx context.Context) (*sharing.Token, error) {
			answer, err := c.request(ctx, resource, scopes)
			if err != nil {
				return nil, err
			}
			return &sharing.Token{
				AccessToken: answer.accessToken, Type: answer.tokenType, Scopes: answer.scopes, Began: answer.began, Lifetime: answer.lifetime,
			}, nil
		},
		Looked: func(ctx context.Context) (context.Context, func(string, error)) {
			ctx, end := c.config.tracer.Start(ctx, OperationShare)
			return ctx, func(result string, err error) { end(Outcome{Result: result, Err: err}) }
		},
		Log: c.config.log.With(slog.String("resource", resource), slog.String("scope", strings.Join(scopes, " "))),
	})
	return func(ctx context.Context, refused *Token) (grant refresh.Grant[Token], err error) {
		access := ""
		if refused != nil {
			access = refused.AccessToken()
		}
		t, err := shared.Token(ctx, access)
		if err != nil {
			return grant, err
		}
		return refresh.Grant[Token]{
			Value: newToken(t.AccessToken, t.Scopes, t.Began.Add(t.Lifetime), c.config.dpop), Began: t.Began, Lifetime: t.Lifetime,
		}, nil
	}
}

// holder names what tokens may be bound to: whoever has another key or certificate could not use them.
func (c *Client) holder(ctx context.Context) (string, error) {
	switch own, ok := c.authority.auth.(*Certificate); {
	case c.config.dpop != nil:
		return "jkt " + c.config.dpop.key.Thumbprint(), nil
	case ok:
		certificate, err := own.current(ctx, c.config.log)
		if err != nil {
			return "", err
		}
		return "x5t#S256 " + thumbprint(certificate), nil
	}
	return "", nil
}
