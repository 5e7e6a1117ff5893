package sdkgrpc

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk"
)

// sent is a token that a call was sent with, and where it comes from.
type sent struct {
	source *sdk.TokenSource
	token  *sdk.Token
}

// record is where credentials note what they sent, for the interceptor above them.
type record = atomic.Pointer[sent]

type recordKey struct{}

// RetryUnauthenticated is a [grpc.UnaryClientInterceptor]. If a server answers Unauthenticated to a token of [Credentials], it has that
// token replaced, once for all calls that were sent with it, and tries the call once more. So a token that was revoked, or whose
// signing key was, costs no call. Servers must not have acted on a call that they answer so.
//
// Streams are not tried again, since what was sent on them is gone: their callers open another one, which has a new token as soon
// as any unary call found the old one refused.
//
//nolint:revive // gRPC says what the parameters are
func RetryUnauthenticated(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	var first record
	err := invoke(context.WithValue(ctx, recordKey{}, &first), method, request, reply, conn, opts...)
	refused := first.Load()
	if status.Code(err) != codes.Unauthenticated || refused == nil {
		return err
	}
	token, failure := refused.source.Refresh(ctx, refused.token)
	if failure != nil || token.AccessToken() == refused.token.AccessToken() {
		return err
	}
	return invoke(ctx, method, request, reply, conn, opts...)
}
