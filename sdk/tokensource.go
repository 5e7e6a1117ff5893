package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/refresh"
)

// TokenSource has a token for one resource and set of scopes, the same for all who ask. From 70 to 80 % of its life on it is replaced in the
// background, by one request at a time, which goes on, less and less often, until it succeeds; the old one is used meanwhile. A
// source that nobody asks does nothing.
type TokenSource struct {
	resource string
	scopes   []string
	source   *refresh.Source[Token]
}

// Token returns a valid token. If one is held, which is nearly always, it takes some nanoseconds, neither locks nor allocates, and does not
// look at ctx. Otherwise it waits for the request, which goes on if the caller leaves: until ctx ends, and no longer than [WithMaxWait].
//
// Errors: a *[TokenError] with Code if the server refused, or ErrNotIssuer, both of which are known at once and for a while remembered;
// ErrUnavailable, with the last failure as its cause, if none came in time; the error of ctx; ErrClosed.
func (s *TokenSource) Token(ctx context.Context) (*Token, error) {
	token, err := s.source.Value(ctx)
	if err != nil {
		return nil, noToken(err)
	}
	return token, nil
}

// Ready returns nil if there is a valid token, and else asks for one as Token does, whose error it returns. It is for readiness probes and
// starts: a secret, scope or resource that is wrong is found out before the first call.
func (s *TokenSource) Ready(ctx context.Context) error {
	_, err := s.Token(ctx)
	return err
}

// Refresh returns a token other than refused, which a resource would not have, say because it was revoked. If the source has another one by
// now it is that one; else one is asked for, once for all who call, while Token goes on with the old one. To spare the
// server, tokens are replaced this way three times at once and then every 10 s: an error tells if it is too soon, or if the
// server cannot be asked now.
func (s *TokenSource) Refresh(ctx context.Context, refused *Token) (*Token, error) {
	token, err := s.source.Replace(ctx, refused)
	if err != nil {
		return nil, noToken(err)
	}
	return token, nil
}

// noToken is what callers are told of the errors of a refresh.Source.
func noToken(err error) error {
	if errors.Is(err, refresh.ErrClosed) {
		return ErrClosed
	}
	left := (*refresh.LeftError)(nil)
	if !errors.As(err, &left) {
		return err
	}
	if left.Last == nil && errors.Is(left.Reason, context.Canceled) {
		return fmt.Errorf("wait for a token: %w", left.Reason)
	}
	e := &TokenError{Err: left}
	if last := (*TokenError)(nil); errors.As(left.Last, &last) {
		e.Status, e.RetryAfter = last.Status, last.RetryAfter
		if last.Code == "" {
			e.Err = fmt.Errorf("%w: %w", left.Reason, last.Err)
		}
	}
	return e
}

func (c *Client) newSource(resource string, scopes []string) *TokenSource {
	fetch := c.ask(resource, scopes)
	if c.config.shared != nil {
		fetch = c.share(resource, scopes)
	}
	return &TokenSource{resource: resource, scopes: scopes, source: refresh.New(refresh.Config[Token]{
		Fetch: fetch, Permanent: permanent, RetryAfter: retryAfter, MaxWait: c.config.maxWait,
		Log: c.config.log.With(slog.String("resource", resource), slog.String("scope", strings.Join(scopes, " "))),
	})}
}

type fetchFunc = func(ctx context.Context, refused *Token) (refresh.Grant[Token], error)

// ask returns what gets a token from the server.
func (c *Client) ask(resource string, scopes []string) fetchFunc {
	return func(ctx context.Context, _ *Token) (grant refresh.Grant[Token], err error) {
		answer, err := c.request(ctx, resource, scopes)
		if err != nil {
			return grant, err
		}
		return refresh.Grant[Token]{
			Value: newToken(answer.accessToken, answer.scopes, answer.began.Add(answer.lifetime), c.config.dpop),
			Began: answer.began, Lifetime: answer.lifetime,
		}, nil
	}
}

// request asks the server for a token. One that is bound to a certificate is of use on connections that show that one.
func (c *Client) request(ctx context.Context, resource string, scopes []string) (*tokenAnswer, error) {
	answer, err := c.authority.requestToken(ctx, resource, scopes, c.config.dpop)
	c.showCurrent(ctx, err)
	return answer, err
}

// exchange asks the server for a token in exchange for another.
func (c *Client) exchange(ctx context.Context, subject, resource string, scopes []string) (*tokenAnswer, error) {
	answer, err := c.authority.exchangeToken(ctx, subject, resource, scopes, c.config.dpop)
	c.showCurrent(ctx, err)
	return answer, err
}

// showCurrent has connections show the certificate that the newest token is bound to.
func (c *Client) showCurrent(ctx context.Context, err error) {
	if own, ok := c.authority.auth.(*Certificate); ok && err == nil {
		if now, known := own.current(ctx, c.config.log); known == nil && c.shown.Swap(now) != now {
			c.closeIdle()
		}
	}
}

// permanent tells of an error that asking again soon will not cure.
func permanent(err error) bool {
	if own := (*localError)(nil); errors.As(err, &own) || errors.Is(err, ErrNotIssuer) {
		return true
	}
	refused := (*TokenError)(nil)
	if !errors.As(err, &refused) || refused.Status < http.StatusBadRequest || refused.Status >= http.StatusInternalServerError {
		return false
	}
	switch refused.Code {
	case "", "temporarily_unavailable", "server_error", "slow_down":
		return false
	}
	return true
}

func retryAfter(err error) time.Duration {
	if refused := (*TokenError)(nil); errors.As(err, &refused) {
		return refused.RetryAfter
	}
	return 0
}
