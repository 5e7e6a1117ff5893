package sdkgrpc

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk"
)

// Guard lets calls reach a server's methods if their token is valid and meets the method's policy. It does not change, and is safe for
// concurrent use.
//
// A call is refused with Unauthenticated if it has no valid token, PermissionDenied if its client or scopes are not the policy's or the
// method has no policy, InvalidArgument if it has more than one token or a malformed one, and Unavailable if nothing can be said
// about it now. The challenge of RFC 6750 §3 is in the trailer www-authenticate.
//
// A token that is bound to a certificate (RFC 8705) is accepted from the client that has it, if the server's TLS asks for one. DPoP is not
// defined for gRPC: a token that is bound to a key alone is Unauthenticated.
//
// A stream is checked when it begins, and not again: it may outlive its token, also one that is revoked. A method that keeps its streams
// open for long ends them itself, at the latest when the caller's identity expires ([sdk.Identity.Expires]).
type Guard struct {
	verifier *sdk.Verifier
	rules    map[string]rule
}

// NewGuard returns a guard by v. Methods that neither policies nor [Public] name are refused.
func NewGuard(v *sdk.Verifier, policies Policies, opts ...Option) (*Guard, error) {
	g := &Guard{verifier: v, rules: make(map[string]rule, len(policies))}
	for method, policy := range policies {
		if err := g.add(method, rule{policy: policy}); err != nil {
			return nil, fmt.Errorf("sdkgrpc: policies: %w", err)
		}
	}
	for _, opt := range opts {
		if err := opt(g); err != nil {
			return nil, fmt.Errorf("sdkgrpc: public methods: %w", err)
		}
	}
	return g, nil
}

// ServerOptions returns the options by which a server is guarded, its streams too. Interceptors given before them run before.
func (g *Guard) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.Unary), grpc.ChainStreamInterceptor(g.Stream)}
}

// Unary is a [grpc.UnaryServerInterceptor].
func (g *Guard) Unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

// Stream is a [grpc.StreamServerInterceptor].
func (g *Guard) Stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(server, &admitted{stream, ctx})
}

// admitted is a stream whose context bears the caller's identity.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements [grpc.ServerStream].
func (a *admitted) Context() context.Context { return a.ctx }

func (g *Guard) admit(ctx context.Context, fullMethod string) (context.Context, error) {
	r, ok := g.rule(fullMethod)
	switch {
	case !ok:
		return nil, status.Errorf(codes.PermissionDenied, "%s has no policy", fullMethod)
	case r.public:
		return ctx, nil
	}
	token, dpop, err := sdk.AccessToken(metadata.ValueFromIncomingContext(ctx, "authorization"))
	if err != nil {
		return nil, g.refuse(ctx, err)
	}
	if dpop {
		return nil, g.refuse(ctx, &sdk.VerifyError{Kind: sdk.ErrInvalidToken, Detail: "DPoP is not possible over gRPC: use a token that is bound to a client certificate"})
	}
	identity, err := g.verifier.VerifyPresented(ctx, sdk.Presented{Token: token, Certificate: certificate(ctx)}, r.policy)
	if err != nil {
		return nil, g.refuse(ctx, err)
	}
	return sdk.NewCallContext(ctx, identity, token), nil
}

// certificate returns the one by which the client authenticated itself, nil if there is none.
func certificate(ctx context.Context) *x509.Certificate {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := caller.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil
	}
	return info.State.PeerCertificates[0]
}

func (g *Guard) refuse(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	refusal := g.verifier.Refusal(err)
	if refusal.Challenge != "" {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("www-authenticate", refusal.Challenge)) // the code is what counts
	}
	return status.Error(code(refusal.Status), refusal.Detail)
}

func code(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	default:
		return codes.Internal
	}
}
