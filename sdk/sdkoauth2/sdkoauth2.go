// Package sdkoauth2 hands the SDK's tokens to libraries that take those of golang.org/x/oauth2.
package sdkoauth2

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/countersign/countersign/sdk"
)

// TokenSource returns src as an [oauth2.TokenSource]. Its Token waits no longer than ctx lasts, which is best one that ends with the service:
// oauth2's own Token has none. While src holds a valid token, ctx does not matter.
//
// Tokens that are bound by DPoP ([sdk.WithDPoP]) are an error: libraries of oauth2 make no proofs. [sdk.Client.Transport] does.
//
// Tokens carry the time when they expire. Whoever keeps one until then, as [oauth2.ReuseTokenSource] and [oauth2.NewClient] do, misses
// what src does before: it needs no cache around it. Printing an [oauth2.Token] shows the token.
func TokenSource(ctx context.Context, src *sdk.TokenSource) oauth2.TokenSource {
	return source(func() (*sdk.Token, error) { return src.Token(ctx) })
}

var errBound = errors.New("a token bound by DPoP is of no use to libraries of oauth2, which make no proofs: " +
	"send requests by sdk.Client.Transport, or leave out WithDPoP")

type source func() (*sdk.Token, error)

// Token implements oauth2.TokenSource.
func (s source) Token() (*oauth2.Token, error) {
	token, err := s()
	if err != nil {
		return nil, err
	}
	if token.Type() != "Bearer" {
		return nil, errBound
	}
	return &oauth2.Token{AccessToken: token.AccessToken(), TokenType: token.Type(), Expiry: token.Expires().Round(0)}, nil
}
