package sdk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/flight"
	"github.com/countersign/countersign/sdk/tokencache"
)

const (
	// defaultExchanges is how many tokens are kept that were got in exchange for others.
	defaultExchanges = 4096
	// refusalKept is for how long a refusal is the answer to the same question: what is not granted is asked for with every call.
	refusalKept = time.Second
	// exchangeAgain is how old a token is at least that is replaced because a service refused it: one that is fresh would not fare better.
	exchangeAgain = 10 * time.Second
)

var (
	errNotForwarded = errors.New("the request's context has no caller's token: it is to come from the request that Verifier.Middleware let in")
	errNoSubject    = errors.New("there is no token to exchange")
	errFresh        = errors.New("the token was got a moment ago")
)

// exchanges keeps the tokens that were got in exchange for others.
type exchanges struct {
	cache *tokencache.Cache[exchanged]
	asks  *flight.Group[tokencache.Key, *tokencache.Entry[exchanged]]
	down  breaker
}

// exchanged is what the server answered: a token, or why there is none.
type exchanged struct {
	token *Token
	err   error
	got   time.Time
}

func newExchanges(size int, limit time.Duration) *exchanges {
	return &exchanges{cache: tokencache.New[exchanged](size), asks: flight.New[tokencache.Key, *tokencache.Entry[exchanged]](limit)}
}

func (x *exchanges) close() {
	x.asks.Close()
	x.cache.Clear()
}

// trade is a question: for which resource and scopes a token is to be exchanged.
type trade struct {
	client   *Client
	resource string
	scopes   []string
	joined   string // scopes
}

func (c *Client) newTrade(resource string, scopes []string) *trade {
	scopes = canonical(scopes)
	return &trade{client: c, resource: resource, scopes: scopes, joined: strings.Join(scopes, " ")}
}

// Exchange returns a token for a resource, with these scopes, in exchange for subject, a token that somebody called this service with (RFC 8693). So
// the call goes on in the name of the caller: the new token names both, allows nothing that the caller's does not, and ends with it. No scopes are
// all that may be had. The client needs a grant to exchange tokens for its own API for those for the resource.
//
// The token is kept as long as it lives, and returned to who exchanges the same subject for the same again; calls at the same time share one
// request. Up to 4,096 are kept ([WithExchangeCache]).
//
// Errors: a *[TokenError] with Code if the server refused: "invalid_grant" means that subject is good for nothing any more, and who called with it is
// to be answered 401; any other, such as "invalid_target", that something is not granted. ErrUnavailable if the server cannot be asked,
// at the latest after [WithMaxWait]; the error of ctx; ErrClosed.
func (c *Client) Exchange(ctx context.Context, subject, resource string, scopes ...string) (*Token, error) {
	return c.newTrade(resource, scopes).token(ctx, subject)
}

// ExchangeTransport returns a transport that has requests go on in the name of who called this service: it exchanges the token that is in a
// request's context, where [Verifier.Middleware] puts it, as [Client.Exchange] does, and sends the request with the new one by base. What
// [Client.Transport] says of base, of requests that have an Authorization header, of redirects and of answers with 401 holds here too. A request whose context
// has no caller's token is not sent: the error is ErrNoToken.
func (c *Client) ExchangeTransport(base http.RoundTripper, resource string, scopes ...string) http.RoundTripper {
	if base == nil {
		base = c.base
	}
	return &transport{source: c.newTrade(resource, scopes), base: base}
}

// Token exchanges the token that ctx has.
func (t *trade) Token(ctx context.Context) (*Token, error) {
	subject, ok := TokenFromContext(ctx)
	if !ok {
		return nil, fmt.Errorf("%w: %w", ErrNoToken, errNotForwarded)
	}
	return t.token(ctx, subject)
}

// Refresh exchanges the token that ctx has once more, if the one that it was exchanged for and that a service refused is the last and not fresh.
func (t *trade) Refresh(ctx context.Context, refused *Token) (*Token, error) {
	subject, ok := TokenFromContext(ctx)
	if !ok {
		return nil, errNotForwarded
	}
	if !t.forget(subject, refused) {
		return nil, errFresh
	}
	return t.token(ctx, subject)
}

// Forget has the next [Client.Exchange] of subject for the same ask the server anew, since a service refused token, which came of it: it may have been
// taken back without its subject, say with a secret of this client. A token that was got less than 10 s ago stays: another would not fare better.
// [Client.ExchangeTransport] does this by itself.
func (c *Client) Forget(token *Token, subject, resource string, scopes ...string) {
	c.newTrade(resource, scopes).forget(subject, token)
}

// forget tells whether what is kept for the subject, if anything is, is another token than the one that was refused.
func (t *trade) forget(subject string, refused *Token) bool {
	key, x := t.key(subject), t.client.exchanges
	e := x.cache.Entry(&key)
	switch {
	case e == nil, e.Value.token != nil && e.Value.token.AccessToken() != refused.AccessToken():
		return true
	case time.Since(e.Value.got) < exchangeAgain:
		return false
	}
	x.cache.Drop(e)
	return true
}

// key is what the answer for a subject is kept under.
func (t *trade) key(subject string) (key tokencache.Key) {
	hash, h := hashOf(subject), sha256.New()
	h.Write(hash[:])
	_, _ = io.WriteString(h, t.resource+"\x00"+t.joined)
	h.Sum(key[:0])
	return key
}

func (t *trade) token(ctx context.Context, subject string) (*Token, error) {
	if subject == "" {
		return nil, errNoSubject
	}
	key, x := t.key(subject), t.client.exchanges
	e := x.cache.Entry(&key)
	if e == nil || !time.Now().Before(e.Expires()) {
		waiting, cancel := context.WithTimeoutCause(ctx, t.client.config.maxWait, errPatience)
		defer cancel()
		var err error
		e, err = x.asks.Do(waiting, key, flight.AnyAge, func(ctx context.Context) (*tokencache.Entry[exchanged], error) {
			return t.ask(ctx, &key, subject)
		})
		if err != nil {
			return nil, t.failure(ctx, err)
		}
	}
	return e.Value.token, e.Value.err
}

// ask asks the server. A refusal is an answer, which is kept for a moment.
func (t *trade) ask(ctx context.Context, key *tokencache.Key, subject string) (*tokencache.Entry[exchanged], error) {
	x, c := t.client.exchanges, t.client
	if err := x.down.pass(); err != nil {
		return nil, err
	}
	answer, err := c.exchange(ctx, subject, t.resource, t.scopes)
	kept := exchanged{err: err, got: time.Now()}
	until := kept.got.Add(refusalKept)
	switch {
	case err == nil:
		until = answer.began.Add(answer.lifetime)
		kept.token = newToken(answer.accessToken, answer.scopes, until, c.config.dpop)
	case !permanent(err):
		if x.down.failed(err) {
			c.config.log.WarnContext(ctx, "tokens cannot be exchanged", "resource", t.resource, "error", err)
		}
		return nil, err
	}
	if x.down.succeeded() {
		c.config.log.InfoContext(ctx, "tokens can be exchanged again")
	}
	e := tokencache.NewEntry[exchanged](key, until)
	e.Value = kept
	x.cache.Put(e, time.Now())
	return e, nil
}

// failure is what callers are told if the server said nothing.
func (t *trade) failure(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, flight.ErrClosed):
		return ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("exchange a token: %w", context.Cause(ctx))
	case errors.As(err, new(*TokenError)):
		return err
	}
	return &TokenError{Err: fmt.Errorf("exchange a token: %w", err)}
}
