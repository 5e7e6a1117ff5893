package sdk

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
)

// ClientAuth proves to the authorization server who asks (RFC 6749 §2.3). [Secret] and [SecretFile] are the ones that come with the
// SDK. Implementations are safe for concurrent use.
type ClientAuth interface {
	// Authenticate adds the client's credentials to a request. It is called anew for every attempt, and must not keep r. An error
	// means that there are no credentials now, such as a file that cannot be read; it must not contain one.
	Authenticate(ctx context.Context, r *AuthRequest) error
}

// AuthRequest is a request to the authorization server that has no credentials yet.
type AuthRequest struct {
	// Issuer is the server's issuer identifier, the audience of client assertions.
	Issuer string
	// ClientID names the client.
	ClientID string
	// Methods are those that the server supports at this endpoint (token_endpoint_auth_methods_supported and its like, RFC 8414 §2);
	// empty: it does not say, and client_secret_basic is the default.
	Methods []string
	// Header and Form are the request's, to be added to. Form is nil for a request by GET.
	Header http.Header
	Form   url.Values

	log *slog.Logger // nil: nobody hears
}
