package sdk

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/proof"
)

// ErrFeedRefused is errFeedRefused.
var ErrFeedRefused = errFeedRefused

// Authority is an authority.
type Authority struct{ authority *authority }

// Granted is a tokenAnswer.
type Granted struct {
	AccessToken string
	Began       time.Time
	Lifetime    time.Duration
	Scopes      []string
}

// NewAuthority returns one with options that are for clients and verifiers.
func NewAuthority(identifier, clientID string, auth ClientAuth, opts ...Option) (*Authority, error) {
	c := clientConfig{common: newCommon()}
	for _, opt := range opts {
		if err := opt.applyClient(&c); err != nil {
			return nil, err
		}
	}
	a, err := newAuthority(identifier, clientID, auth, c.common)
	return &Authority{a}, err
}

func (a *Authority) Close() { a.authority.close() }

func (a *Authority) RequestToken(ctx context.Context, resource string, scopes ...string) (*Granted, error) {
	return granted(a.authority.requestToken(ctx, resource, scopes, nil))
}

// RequestBoundToken asks for a token that is bound to this key.
func (a *Authority) RequestBoundToken(ctx context.Context, resource string, key *proof.Key) (*Granted, error) {
	return granted(a.authority.requestToken(ctx, resource, nil, &dpop{key: key, given: true, nonces: map[string]string{}}))
}

func (a *Authority) Introspect(ctx context.Context, token string) (*issuer.Answer, error) {
	return a.authority.introspect(ctx, token)
}

func (a *Authority) Revoke(ctx context.Context, token string) error {
	return a.authority.revoke(ctx, token)
}

func (a *Authority) KeySet(ctx context.Context) ([]byte, time.Duration, error) {
	set, err := a.authority.keySet(ctx)
	return set.Body, set.MaxAge, err
}

func (a *Authority) PollFeed(ctx context.Context, cursor string) ([]byte, time.Time, error) {
	return a.authority.pollFeed(ctx, cursor)
}

func (a *Authority) StreamFeed(ctx context.Context, cursor string) (io.ReadCloser, error) {
	return a.authority.streamFeed(ctx, cursor)
}

// ParseToken reads an answer of the token endpoint.
func ParseToken(body []byte, asked ...string) (*Granted, error) {
	t, err := parseToken(body, asked)
	if err == nil {
		err = t.checkType(false)
	}
	return granted(t, err)
}

func granted(t *tokenAnswer, err error) (*Granted, error) {
	if err != nil {
		return nil, err
	}
	return &Granted{t.accessToken, t.began, t.lifetime, t.scopes}, nil
}

// LogTo has the credentials of r log to log.
func (r *AuthRequest) LogTo(log *slog.Logger) { r.log = log }

// Base is the transport of those who give none.
func (c *Client) Base() *http.Transport {
	own, _ := c.base.(*http.Transport)
	return own
}
