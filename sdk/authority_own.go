package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/internal/refresh"
)

// ownAPI is the resource that a Countersign server is itself.
const ownAPI = "urn:countersign:server"

// ownToken is the token by which a client asks a Countersign server about tokens and revocations, if its credentials are good for one use only: a
// verifier asks several times a second, and for every assertion the server has to remember in its database that it was used.
type ownToken struct {
	source *refresh.Source[Token]
	log    *slog.Logger
	advise sync.Once
}

// newOwnToken returns nil if the credentials may be used again.
func newOwnToken(a *authority) *ownToken {
	if _, once := a.auth.(asserting); !once {
		return nil
	}
	return &ownToken{log: a.log, source: refresh.New(refresh.Config[Token]{
		Fetch: func(ctx context.Context, _ *Token) (grant refresh.Grant[Token], err error) {
			answer, err := a.requestToken(ctx, ownAPI, nil, nil)
			if err != nil {
				return grant, err
			}
			return refresh.Grant[Token]{
				Value: newToken(answer.accessToken, answer.scopes, answer.began.Add(answer.lifetime), nil),
				Began: answer.began, Lifetime: answer.lifetime,
			}, nil
		},
		Permanent: permanent, RetryAfter: retryAfter,
	})}
}

func (o *ownToken) close() {
	if o != nil {
		o.source.Close()
	}
}

// sends sends a request that is admitted by the client's own token, or by its credentials if that is nil.
type sends = func(own *Token) (*issuer.Answer, error)

// use sends a request, once more with another token if the server would not have the first: it was taken back, or is from before a grant.
func (o *ownToken) use(ctx context.Context, m *issuer.Metadata, send sends) (*issuer.Answer, error) {
	if o == nil || m.RevocationFeed == "" {
		return send(nil)
	}
	token, err := o.source.Value(ctx)
	if err != nil {
		return o.without(ctx, err, send)
	}
	answer, err := send(token)
	if err != nil || answer.Status != http.StatusUnauthorized && answer.Status != http.StatusForbidden {
		return answer, err
	}
	switch token, err = o.source.Replace(ctx, token); {
	case errors.Is(err, refresh.ErrTooOften):
		return answer, nil
	case err != nil:
		return o.without(ctx, err, send)
	}
	return send(token)
}

// without sends a request of a client that cannot have a token: by its credentials, if the server knows it by them but has no such token for it, as
// older ones have not, and as it is where tokens have to be bound to a key, so that each use would cost as much as an assertion.
func (o *ownToken) without(ctx context.Context, err error, send sends) (*issuer.Answer, error) {
	refused := (*TokenError)(nil)
	switch {
	case errors.Is(err, refresh.ErrClosed):
		return nil, ErrClosed
	case !permanent(err):
		return nil, noToken(err)
	case errors.As(err, &refused) && refused.Code == "invalid_client":
		return nil, err
	}
	o.advise.Do(func() {
		o.log.InfoContext(ctx, "no token for "+ownAPI+": introspection and the revocation feed are asked with an assertion each time", "error", err)
	})
	return send(nil)
}

// admission returns what lets the client in: its own token, or its credentials if that is nil.
func (a *authority) admission(own *Token, by accepted) prepare {
	if own == nil {
		return a.credentials(by)
	}
	return func(_ context.Context, h http.Header, _ url.Values) error {
		h.Set("Authorization", own.header())
		return nil
	}
}

// notKnown is the error where the token endpoint does not know the client; nil: err is another one.
func notKnown(kind error, clientID string, err error) error {
	refused := (*TokenError)(nil)
	if !errors.As(err, &refused) || refused.Code != "invalid_client" {
		return nil
	}
	return fmt.Errorf("%w: the server does not know client %q by these credentials (%s: %s); check its id and its key or assertion, "+
		"and that it is registered for this method of authentication", kind, clientID, refused.Code, refused.Description)
}
