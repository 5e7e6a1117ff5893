package sdkgrpc

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk"
)

// DialOptions returns what a connection needs so that its calls bear tokens of source: [Credentials], [RetryUnauthenticated] and
// [RefreshUnauthenticated]. Interceptors given before them run before.
func DialOptions(source *sdk.TokenSource) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithPerRPCCredentials(Credentials(source)),
		grpc.WithChainUnaryInterceptor(RetryUnauthenticated),
		grpc.WithChainStreamInterceptor(RefreshUnauthenticated),
	}
}

// RetryUnauthenticated is a [grpc.UnaryClientInterceptor]. If a server answers Unauthenticated to a token of [Credentials], it has that
// token replaced, once for all calls that were sent with it, and tries the call once more. So a token that was revoked, or whose
// signing key was, costs no call. Servers must not have acted on a call that they answer so.
//
//nolint:revive // gRPC says what the parameters are
func RetryUnauthenticated(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	var sent record
	err := invoke(context.WithValue(ctx, recordKey{}, &sent), method, request, reply, conn, opts...)
	if err == nil || !sent.replace(ctx, err) {
		return err
	}
	return invoke(ctx, method, request, reply, conn, opts...)
}

// RefreshUnauthenticated is a [grpc.StreamClientInterceptor]. If a server ends a stream with Unauthenticated, it has the token of
// [Credentials] replaced. The stream fails nevertheless, since what was sent on it is gone; the next one has another token, as soon as
// there is one. The end itself is told within 100 ms, whether the authorization server answers or not.
//
//nolint:revive // gRPC says what the parameters are
func RefreshUnauthenticated(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	var sent record
	failed := func(err error) {
		ctx, cancel := context.WithTimeout(ctx, refreshWait) // the source goes on without us
		defer cancel()
		sent.replace(ctx, err)
	}
	stream, err := open(context.WithValue(ctx, recordKey{}, &sent), desc, conn, method, opts...)
	if err != nil {
		failed(err)
		return nil, err
	}
	return &watched{stream, failed}, nil
}

// refreshWait is how long the end of a stream waits for another token, which it has no use for itself.
const refreshWait = 100 * time.Millisecond

// watched is a stream whose end is looked at.
type watched struct {
	grpc.ClientStream
	failed func(error)
}

// RecvMsg implements [grpc.ClientStream].
func (w *watched) RecvMsg(message any) error {
	err := w.ClientStream.RecvMsg(message)
	if err != nil {
		w.failed(err)
	}
	return err
}

// record is where credentials note with which token they sent a call, for the interceptor above them.
type record struct{ atomic.Pointer[sent] }

type recordKey struct{}

type sent struct {
	source source
	token  *sdk.Token
}

// replace has the token replaced if a call failed because of it, and tells whether there is another one.
func (r *record) replace(ctx context.Context, failure error) bool {
	refused := r.Load()
	if status.Code(failure) != codes.Unauthenticated || refused == nil {
		return false
	}
	token, err := refused.source.Refresh(ctx, refused.token)
	return err == nil && token.AccessToken() != refused.token.AccessToken()
}
