package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ClientAuth proves to the authorization server who asks (RFC 6749 §2.3). Those that come with the SDK are [Secret] and [SecretFile],
// [PrivateKey] and [PrivateKeyFile], [ClientCertificate], [AssertionFile] and [AssertionFunc]. Implementations are safe for concurrent use.
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
	// Algorithms are those of client assertions that the server supports at this endpoint (token_endpoint_auth_signing_alg_values_supported
	// and its like); empty: it does not say.
	Algorithms []string
	// Header and Form are the request's, to be added to. Form is nil for a request by GET.
	Header http.Header
	Form   url.Values

	log *slog.Logger // nil: nobody hears
}

// logger is who hears of what the credentials are made from.
func (r *AuthRequest) logger() *slog.Logger {
	if r.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.log
}

// supports refuses early what the server will not have: none of these methods, the first of which names them, is among its own.
func (r *AuthRequest) supports(methods ...string) error {
	if len(r.Methods) == 0 || slices.ContainsFunc(methods, func(m string) bool { return slices.Contains(r.Methods, m) }) {
		return nil
	}
	return fmt.Errorf("the server's metadata does not list %s among the methods of client authentication of this endpoint: %s",
		strings.Join(methods, " or "), strings.Join(r.Methods, ", "))
}

// errNoForm: the credentials go into a body, and the request has none.
var errNoForm = errors.New("these credentials need a request with a body, and this one is a GET")

// asserting is implemented by credentials that a server may take one time only.
type asserting interface{ asserts() }

// localError is an error of credentials that is none of the server's: to wait for it to get better would be in vain.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// local marks the error, if there is one.
func local(err error) error {
	if err == nil {
		return nil
	}
	return &localError{err}
}

// hidden is embedded by what must not be printed. What it hides is kept inside functions, where nothing that prints the fields of a struct finds it.
type hidden struct{}

// Format implements fmt.Formatter for all verbs.
func (hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }
