package sdkgrpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk"
)

// Credentials returns credentials for a connection ([grpc.WithPerRPCCredentials]) or a call ([grpc.PerRPCCredentials]) that send the
// token of source. They need a connection that keeps it secret, TLS, and refuse any other. A call must not bear authorization metadata
// of its own besides: that would be two tokens.
//
// Tokens that are bound by DPoP ([sdk.WithDPoP]) are refused: a proof is for a method and URL of HTTP, of which a call has none. Bind tokens to a
// client certificate, with [sdk.ClientCertificate], which the connection then shows too: its GetClientCertificate is for [crypto/tls.Config].
//
// A call for which there is no token fails with Unauthenticated if the authorization server refuses one, and with Unavailable if it
// cannot be asked.
func Credentials(source *sdk.TokenSource) credentials.PerRPCCredentials {
	return &tokens{source: source, secure: true}
}

// InsecureCredentials is [Credentials] for connections that are NOT encrypted: who can see the network can take the token and use it.
// It is for loopback, for tests, and for meshes that encrypt outside of the process.
func InsecureCredentials(source *sdk.TokenSource) credentials.PerRPCCredentials {
	return &tokens{source: source}
}

// ExchangeCredentials returns credentials as [Credentials] does that have calls go on in the name of who called this service: they exchange the token
// that is in a call's context, where [Guard] and [sdk.Verifier.Middleware] put it, for one for the resource with these scopes ([sdk.Client.Exchange]).
// A call whose context has no caller's token fails with Unauthenticated. [RetryUnauthenticated] and [RefreshUnauthenticated] work with them, too.
func ExchangeCredentials(client *sdk.Client, resource string, scopes ...string) credentials.PerRPCCredentials {
	return &tokens{source: &exchange{client, resource, scopes}, secure: true}
}

// InsecureExchangeCredentials is [ExchangeCredentials] for connections that are NOT encrypted, see [InsecureCredentials].
func InsecureExchangeCredentials(client *sdk.Client, resource string, scopes ...string) credentials.PerRPCCredentials {
	return &tokens{source: &exchange{client, resource, scopes}}
}

// exchange is where tokens come from that are exchanged for those of callers.
type exchange struct {
	client   *sdk.Client
	resource string
	scopes   []string
}

func (e *exchange) Token(ctx context.Context) (*sdk.Token, error) {
	subject, ok := sdk.TokenFromContext(ctx)
	if !ok {
		return nil, fmt.Errorf("%w: the call's context has no caller's token: it is to come from the call or request that a guard let in", sdk.ErrNoToken)
	}
	return e.client.Exchange(ctx, subject, e.resource, e.scopes...)
}

// Refresh exchanges the caller's token once more, unless the one that was refused is fresh.
func (e *exchange) Refresh(ctx context.Context, refused *sdk.Token) (*sdk.Token, error) {
	if subject, ok := sdk.TokenFromContext(ctx); ok {
		e.client.Forget(refused, subject, e.resource, e.scopes...)
	}
	return e.Token(ctx)
}

// source is where tokens come from, as from a [sdk.TokenSource].
type source interface {
	Token(ctx context.Context) (*sdk.Token, error)
	Refresh(ctx context.Context, refused *sdk.Token) (*sdk.Token, error)
}

type tokens struct {
	source source
	secure bool
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (t *tokens) RequireTransportSecurity() bool { return t.secure }

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (t *tokens) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if t.secure {
		call, _ := credentials.RequestInfoFromContext(ctx)
		if err := credentials.CheckSecurityLevel(call.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
			return nil, status.Errorf(codes.Unauthenticated, "a token is not sent: %v", err)
		}
	}
	token, err := t.source.Token(ctx)
	if err != nil {
		return nil, tokenFailure(ctx, err)
	}
	if token.Type() != "Bearer" {
		return nil, status.Error(codes.FailedPrecondition, "a token bound by DPoP cannot be sent by gRPC: leave out WithDPoP, or bind it to a client certificate")
	}
	if record, ok := ctx.Value(recordKey{}).(*record); ok {
		record.Store(&sent{t.source, token})
	}
	return map[string]string{"authorization": "Bearer " + token.AccessToken()}, nil
}

// tokenFailure returns the status of a call for which there is no token.
func tokenFailure(ctx context.Context, err error) error {
	var refused *sdk.TokenError
	switch {
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case errors.As(err, &refused) && refused.Code != "", errors.Is(err, sdk.ErrNoToken):
		return status.Error(codes.Unauthenticated, err.Error())
	default:
		return status.Error(codes.Unavailable, err.Error())
	}
}
