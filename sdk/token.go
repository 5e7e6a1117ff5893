package sdk

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const bearerScheme = "Bearer"

// Token is an access token. It does not change. However it is printed, logged or encoded, what comes out is [redacted]. The zero value is
// no token.
type Token struct {
	hidden

	header  func() string // the header's value; inside a function nothing that prints the fields of a struct finds it
	scheme  string
	scopes  []string
	expires time.Time
	dpop    *dpop // nil: the token is not bound to a key
}

// newToken returns a token that is bound to the key of d, if d is not nil.
func newToken(access string, scopes []string, expires time.Time, d *dpop) *Token {
	t := &Token{scheme: bearerScheme, scopes: scopes, expires: expires, dpop: d}
	if d != nil {
		t.scheme = dpopScheme
	}
	value := t.scheme + " " + access
	t.header = func() string { return value }
	return t
}

// AccessToken returns the token itself. It is a secret. One of type DPoP is of no use without a proof, see [Token.Authorize].
func (t Token) AccessToken() string {
	if t.header == nil {
		return ""
	}
	return t.header()[len(t.scheme)+1:]
}

// Type returns how the token is used: "Bearer" (RFC 6750), or "DPoP" with [WithDPoP] (RFC 9449).
func (t Token) Type() string {
	if t.scheme == "" {
		return bearerScheme
	}
	return t.scheme
}

// Expires returns when the token expires, counted from the start of the request that got it, and so not later than the server means.
func (t Token) Expires() time.Time { return t.expires }

// Scopes returns the token's scopes, as the server says, or those that were asked for if it says nothing.
func (t Token) Scopes() []string { return slices.Clone(t.scopes) }

// Authorize puts the token into the request's Authorization header, in place of what is there, and if it is bound by DPoP a proof into the DPoP
// header: for this method, URL and host, and for one attempt, since servers take a proof once. Its error means that no proof could be made; the
// request has neither header then. Whoever sends the request heeds [Token.Heed], or leaves it all to [Client.Transport].
func (t Token) Authorize(r *http.Request) error {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Del("Authorization")
	r.Header.Del(dpopHeader)
	if t.dpop != nil {
		method := r.Method
		if method == "" {
			method = http.MethodGet
		}
		if err := t.dpop.prove(r.Header, method, asSeen(r), t.AccessToken()); err != nil {
			return err
		}
	}
	if t.header == nil {
		return errors.New("there is no token")
	}
	r.Header.Set("Authorization", t.header())
	return nil
}

// Heed takes down the nonce that the answer to a request of [Token.Authorize] has for the next proof, and tells whether the same request with
// another proof may fare better: it was answered 401 because of the proof (RFC 9449 §9). Without DPoP it is false.
func (t Token) Heed(r *http.Request, answer *http.Response) bool {
	if t.dpop == nil {
		return false
	}
	t.dpop.heed(asSeen(r), answer.Header)
	return answer.StatusCode == http.StatusUnauthorized && proofRefused(answer.Header)
}

// SetAuthHeader is as [Token.Authorize], for those who cannot do anything about an error: the request has no token then, and is refused.
func (t Token) SetAuthHeader(r *http.Request) { _ = t.Authorize(r) }

// asSeen is the URL of a request as its server sees it.
func asSeen(r *http.Request) *url.URL {
	u := *r.URL
	if r.Host != "" {
		u.Host = r.Host
	}
	return &u
}
