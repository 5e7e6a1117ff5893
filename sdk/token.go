package sdk

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

const bearer = "Bearer "

// Token is an access token. It does not change. However it is printed, logged or encoded, what comes out is [redacted]. The zero value is
// no token.
type Token struct {
	header  func() string // the header's value; inside a function nothing that prints the fields of a struct finds it
	scopes  []string
	expires time.Time
}

func newToken(access string, scopes []string, expires time.Time) *Token {
	value := bearer + access
	return &Token{header: func() string { return value }, scopes: scopes, expires: expires}
}

// AccessToken returns the token itself. It is a secret.
func (t Token) AccessToken() string { return t.authorization()[len(bearer):] }

func (t Token) authorization() string {
	if t.header == nil {
		return bearer
	}
	return t.header()
}

// Type returns how the token is used: always "Bearer", RFC 6750.
func (t Token) Type() string { return "Bearer" }

// Expires returns when the token expires, counted from the start of the request that got it, and so not later than the server means.
func (t Token) Expires() time.Time { return t.expires }

// Scopes returns the token's scopes, as the server says, or those that were asked for if it says nothing.
func (t Token) Scopes() []string { return slices.Clone(t.scopes) }

// SetAuthHeader puts the token into the request's Authorization header, in place of what is there.
func (t Token) SetAuthHeader(r *http.Request) { r.Header.Set("Authorization", t.authorization()) }

// Format implements fmt.Formatter for all verbs.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and so holds for JSON too.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }
