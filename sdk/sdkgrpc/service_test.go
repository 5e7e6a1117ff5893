package sdkgrpc_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgrpc"
	"github.com/countersign/countersign/sdk/sdktest"
)

const inventory = "https://inventory.test"

// The methods of the test's service. Both answer the caller's client id.
const (
	who   = "/test.Who/Who"
	watch = "/test.Who/Watch"
)

// whoService is what protoc would have made of a unary and a streaming method.
func whoService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "test.Who",
		Methods: []grpc.MethodDesc{{
			MethodName: "Who",
			Handler: func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
				in := new(emptypb.Empty)
				if err := decode(in); err != nil {
					return nil, err
				}
				handler := func(ctx context.Context, _ any) (any, error) { return caller(ctx), nil }
				if interceptor == nil {
					return handler(ctx, in)
				}
				return interceptor(ctx, in, &grpc.UnaryServerInfo{FullMethod: who}, handler)
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Watch", ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return stream.SendMsg(caller(stream.Context())) },
		}},
	}
}

func caller(ctx context.Context) *wrapperspb.StringValue {
	identity, ok := sdk.FromContext(ctx)
	if !ok {
		return wrapperspb.String("nobody")
	}
	return wrapperspb.String(identity.ClientID())
}

func newVerifier(t *testing.T) (*sdk.Verifier, *sdktest.Issuer) {
	t.Helper()
	issuer := sdktest.New(sdktest.WithDefaults(inventory, "inventory:read"))
	verifier, err := sdk.NewVerifier(issuer.URL(), inventory, sdk.WithHTTPClient(issuer.Client()),
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := verifier.Close(); err != nil {
			t.Error(err)
		}
		issuer.Close()
	})
	return verifier, issuer
}

// newServer returns a server with the test's service and a health service. It is not serving yet.
func newServer(opts ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(opts...)
	server.RegisterService(whoService(), nil)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	return server
}

// serve starts the server and returns a connection to it.
func serve(t *testing.T, server *grpc.Server, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	dialer := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
	opts = append([]grpc.DialOption{dialer, grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)
	conn, err := grpc.NewClient("passthrough:///test", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn
}

// ask calls Who.
func ask(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (string, error) {
	answer := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, who, &emptypb.Empty{}, answer, opts...)
	return answer.GetValue(), err
}

// follow calls Watch.
func follow(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (string, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, watch, opts...)
	if err != nil {
		return "", err
	}
	if err := stream.SendMsg(&emptypb.Empty{}); err != nil {
		return "", err
	}
	if err := stream.CloseSend(); err != nil {
		return "", err
	}
	answer := new(wrapperspb.StringValue)
	err = stream.RecvMsg(answer)
	return answer.GetValue(), err
}

func newGuard(t *testing.T, v *sdk.Verifier, p sdkgrpc.Policies, opts ...sdkgrpc.Option) *sdkgrpc.Guard {
	t.Helper()
	guard, err := sdkgrpc.NewGuard(v, p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}
