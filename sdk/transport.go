package sdk

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

// How many bytes of a refused answer are read so that its connection can be used again, and for how long.
const (
	drainLimit = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// HTTPClient returns a client whose requests bear a token for this resource and these scopes; see [Client.Transport]. It has no Timeout:
// give requests a context that ends.
func (c *Client) HTTPClient(resource string, scopes ...string) *http.Client {
	return &http.Client{Transport: c.Transport(nil, resource, scopes...)}
}

// Transport returns a transport that adds a token for this resource and these scopes to requests, and sends them by base. If base is nil
// that is one which all of this Client's share: as http.DefaultTransport, with more idle connections.
//
// A request that has an Authorization header already is left as it is, and so is one to which another origin redirected, or which
// was redirected to another: a token stays with those it was meant for. After a 401 the token is replaced and the request sent once more, if its
// body can be had again (http.Request.GetBody) and the scopes are not what is missing. If there is no other token, the 401 is
// the answer. A proof of possession ([WithDPoP]) is made for every attempt; if it was the proof that was refused, say for a nonce (RFC 9449 §9),
// the request is sent once more with another one and the same token. Requests without a token are never sent: the error is that of [TokenSource.Token].
func (c *Client) Transport(base http.RoundTripper, resource string, scopes ...string) http.RoundTripper {
	if base == nil {
		base = c.base
	}
	return &transport{source: c.TokenSource(resource, scopes...), base: base}
}

// newBase returns the transport of those who give none. What someone put in place of the usual one is used as it is.
func newBase(auth ClientAuth) http.RoundTripper {
	usual, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	tuned := usual.Clone()
	issuer.Show(tuned, certificateOf(auth, slog.New(slog.DiscardHandler)))
	tuned.MaxIdleConns, tuned.MaxIdleConnsPerHost = 512, 128 // with the usual 2 per host a busy service dials all the time
	return tuned
}

type transport struct {
	source source
	base   http.RoundTripper
}

// source is where a transport gets its tokens, as from a [TokenSource].
type source interface {
	Token(ctx context.Context) (*Token, error)
	Refresh(ctx context.Context, refused *Token) (*Token, error)
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if authorized(r.Header) || strayed(r) {
		return t.base.RoundTrip(r)
	}
	token, err := t.source.Token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as the contract has it, whatever comes of that
		}
		return nil, err
	}
	first, err := t.sendProved(r, token)
	if err != nil || first.StatusCode != http.StatusUnauthorized || lacksScope(first.Header) {
		return first, err
	}
	if !replayable(r) {
		t.forget(r, token)
		return first, nil
	}
	other, err := t.source.Refresh(r.Context(), token)
	if err != nil || other.AccessToken() == token.AccessToken() {
		return first, nil //nolint:nilerr // without another token the refusal stands
	}
	if again, err := t.again(r, first, other); again != nil || err != nil {
		return again, err
	}
	return first, nil
}

// forget has the next request for the same caller not bear a token that was exchanged and refused.
func (t *transport) forget(r *http.Request, refused *Token) {
	exchanges, ok := t.source.(*trade)
	if subject, called := TokenFromContext(r.Context()); ok && called {
		exchanges.forget(subject, refused)
	}
}

// sendProved sends a copy of r, and another one if it was because of the proof of possession that the first was refused.
func (t *transport) sendProved(r *http.Request, token *Token) (*http.Response, error) {
	first, err := t.send(r, r.Body, token)
	if err != nil || !token.Heed(r, first) || !replayable(r) {
		return first, err
	}
	again, err := t.again(r, first, token)
	if again == nil && err == nil {
		return first, nil
	}
	if err == nil {
		token.Heed(r, again)
	}
	return again, err
}

// again sends a copy of r with this token in place of the answer that came first. Both are nil if the body cannot be had again.
func (t *transport) again(r *http.Request, first *http.Response, token *Token) (*http.Response, error) {
	body := r.Body
	if r.GetBody != nil {
		var err error
		if body, err = r.GetBody(); err != nil {
			return nil, nil //nolint:nilerr,nilnil // the first answer stands
		}
	}
	discard(first.Body)
	return t.send(r, body, token)
}

// discard reads what is left of an answer. If that is much, or slow to come, the connection is lost and nothing else.
func discard(body io.ReadCloser) {
	late := time.AfterFunc(drainTime, func() { _ = body.Close() })
	_, _ = io.CopyN(io.Discard, body, drainLimit)
	late.Stop()
	_ = body.Close()
}

// authorized tells whether there is an Authorization header, in whatever case its name was put into the map.
func authorized(h http.Header) bool {
	const name = "Authorization"
	if h[name] != nil {
		return true
	}
	for given := range h {
		if len(given) == len(name) && strings.EqualFold(given, name) {
			return true
		}
	}
	return false
}

// send sends a copy of r. The answer names r as its request, so that whoever prints that does not find the token.
func (t *transport) send(r *http.Request, body io.ReadCloser, token *Token) (*http.Response, error) {
	c := r.WithContext(r.Context())
	c.Header = r.Header.Clone()
	if c.Header == nil {
		c.Header = http.Header{}
	}
	c.Body = body
	if err := token.Authorize(c); err != nil {
		if body != nil {
			_ = body.Close() // as the contract has it, whatever comes of that
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(c)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// CloseIdleConnections has http.Client.CloseIdleConnections reach the transport beneath.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func replayable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}

// strayed tells whether redirects led through more than one origin, or from where nobody knows.
func strayed(r *http.Request) bool {
	if r.Response == nil {
		return false
	}
	at := origin(r.URL)
	for from := r.Response; from != nil; from = from.Request.Response {
		if from.Request == nil || origin(from.Request.URL) != at {
			return true
		}
	}
	return false
}

func origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	switch {
	case port != "":
	case scheme == "https":
		port = "443"
	case scheme == "http":
		port = "80"
	}
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// lacksScope tells whether a challenge says insufficient_scope (RFC 6750 §3.1), which another token of the same scopes does not cure.
func lacksScope(h http.Header) bool { return challenged(h, "insufficient_scope") }
