package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Client gets tokens from one authorization server in the name of one client, and keeps them. A service needs one, for as long as it runs.
// All methods are safe for concurrent use.
type Client struct {
	config    clientConfig
	authority *authority
	base      http.RoundTripper // of those who give none
	shown     atomic.Pointer[tls.Certificate]
	exchanges *exchanges

	mu      sync.Mutex
	closed  bool
	sources map[sourceKey]*TokenSource
}

type sourceKey struct{ resource, scopes string }

// New returns a client of the authorization server at issuer, its issuer identifier: an https URL, or http on a loopback address. It does
// no I/O: the server is asked when the first token is. auth is how the client proves who it is, such as [SecretFile].
func New(issuer, clientID string, auth ClientAuth, opts ...ClientOption) (*Client, error) {
	if auth == nil {
		return nil, errors.New("the client needs credentials, such as Secret or SecretFile")
	}
	c := &Client{config: clientConfig{common: newCommon(), maxWait: defaultMaxWait, exchanges: defaultExchanges}, base: newBase(auth), sources: map[sourceKey]*TokenSource{}}
	for _, opt := range opts {
		if err := opt.applyClient(&c.config); err != nil {
			return nil, err
		}
	}
	c.config.sign(issuer, clientID)
	c.exchanges = newExchanges(c.config.exchanges, c.config.maxWait)
	if err := c.config.checkSharing(auth); err != nil {
		return nil, err
	}
	var err error
	c.authority, err = newAuthority(issuer, clientID, auth, c.config.common)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// TokenSource returns the source of tokens for a resource (RFC 8707), the audience of the service to be called, with these scopes. An empty
// resource is what the server takes for granted, no scopes all that it grants. The same resource and scopes, in any order, give the
// same source. Sources are kept until Close: do not make resources or scopes out of what callers send.
func (c *Client) TokenSource(resource string, scopes ...string) *TokenSource {
	scopes = canonical(scopes)
	key := sourceKey{resource, strings.Join(scopes, " ")}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sources[key]
	if s == nil {
		s = c.newSource(resource, scopes)
		if c.closed {
			s.source.Close()
		}
		c.sources[key] = s
	}
	return s
}

// canonical returns the set of scopes that a list means, whose elements may be lists in turn, delimited by spaces.
func canonical(scopes []string) []string {
	set := strings.Fields(strings.Join(scopes, " "))
	slices.Sort(set)
	return slices.Compact(set)
}

// Revoke takes a token of this client back (RFC 7009), so that nobody accepts it any more. Sources go on with it if it is theirs:
// [TokenSource.Refresh] has it replaced. An error is as from [TokenSource.Token].
func (c *Client) Revoke(ctx context.Context, token string) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return c.authority.revoke(ctx, token)
}

// Close ends what goes on in the background, and waits for it. From now on, and for those who wait for a token, everything answers
// ErrClosed.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	var all sync.WaitGroup
	for _, s := range c.sources {
		all.Go(s.source.Close)
	}
	c.mu.Unlock()
	all.Wait()
	c.exchanges.close()
	c.authority.close()
	c.closeIdle()
	return nil
}

// closeIdle closes connections to services that nobody uses at the moment.
func (c *Client) closeIdle() {
	if own, ok := c.base.(*http.Transport); ok {
		own.CloseIdleConnections()
	}
}
