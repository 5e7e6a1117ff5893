package sdkgrpc_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgrpc"
	"github.com/countersign/countersign/sdk/sdktest"
)

// gatekeeper is a server's interceptors that let a call pass or not, by what it bears, and count.
type gatekeeper struct {
	judge func(authorization string) codes.Code
	calls atomic.Int32
}

func (g *gatekeeper) admit(ctx context.Context) error {
	g.calls.Add(1)
	authorization := ""
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) > 0 {
		authorization = values[0]
	}
	return status.Error(g.judge(authorization), "judged")
}

func (g *gatekeeper) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := g.admit(ctx); err != nil {
				return nil, err
			}
			return handler(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := g.admit(stream.Context()); err != nil {
				return err
			}
			return handler(server, stream)
		}),
	}
}

func TestRetryUnauthenticated(t *testing.T) {
	always := func(code codes.Code) func(string) func(string) codes.Code {
		return func(string) func(string) codes.Code { return func(string) codes.Code { return code } }
	}
	unless := func(first string) func(string) codes.Code {
		return func(got string) codes.Code {
			if got == "Bearer "+first {
				return codes.Unauthenticated
			}
			return codes.OK
		}
	}
	for _, tt := range []struct {
		name   string
		judge  func(first string) func(string) codes.Code
		down   bool
		code   codes.Code
		calls  int32
		tokens int
	}{
		{name: "accepted", judge: always(codes.OK), calls: 1, tokens: 1},
		{name: "the first token is refused", judge: unless, calls: 2, tokens: 2},
		{name: "every token is refused", judge: always(codes.Unauthenticated), code: codes.Unauthenticated, calls: 2, tokens: 2},
		{name: "not allowed", judge: always(codes.PermissionDenied), code: codes.PermissionDenied, calls: 1, tokens: 1},
		{name: "no other token to be had", judge: unless, down: true, code: codes.Unauthenticated, calls: 1, tokens: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := sdktest.New()
			source := newSource(t, issuer)
			gate := &gatekeeper{judge: tt.judge(mustToken(t, source).AccessToken())}
			conn := serve(t, newServer(gate.options()...), grpc.WithPerRPCCredentials(sdkgrpc.InsecureCredentials(source)),
				grpc.WithUnaryInterceptor(sdkgrpc.RetryUnauthenticated))
			issuer.Down(tt.down)
			_, err := ask(t.Context(), conn)
			if status.Code(err) != tt.code || gate.calls.Load() != tt.calls || issuer.Requests(sdktest.TokenEndpoint) != tt.tokens {
				t.Errorf("%v, %d calls, %d tokens; want %v, %d, %d", err, gate.calls.Load(),
					issuer.Requests(sdktest.TokenEndpoint), tt.code, tt.calls, tt.tokens)
			}
		})
	}
}

func TestRetryUnauthenticatedReplacesATokenOnce(t *testing.T) {
	issuer := sdktest.New()
	source := newSource(t, issuer)
	first := mustToken(t, source).AccessToken()
	gate := &gatekeeper{judge: func(got string) codes.Code {
		if got == "Bearer "+first {
			return codes.Unauthenticated
		}
		return codes.OK
	}}
	conn := serve(t, newServer(gate.options()...), grpc.WithPerRPCCredentials(sdkgrpc.InsecureCredentials(source)),
		grpc.WithUnaryInterceptor(sdkgrpc.RetryUnauthenticated))
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := ask(t.Context(), conn); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := issuer.Requests(sdktest.TokenEndpoint); got != 2 {
		t.Errorf("%d tokens were asked for, want 2", got)
	}
}

func TestRetryUnauthenticatedLeavesOthersAlone(t *testing.T) {
	gate := &gatekeeper{judge: func(string) codes.Code { return codes.Unauthenticated }}
	issuer := sdktest.New()
	conn := serve(t, newServer(gate.options()...), grpc.WithUnaryInterceptor(sdkgrpc.RetryUnauthenticated))
	if _, err := ask(t.Context(), conn); status.Code(err) != codes.Unauthenticated || gate.calls.Load() != 1 {
		t.Errorf("a call without credentials: %v, %d calls", err, gate.calls.Load())
	}
	issuer.RotateSecret(issuer.ClientID(), "another")
	refused := sdkgrpc.InsecureCredentials(newSource(t, issuer))
	if _, err := ask(t.Context(), conn, grpc.PerRPCCredentials(refused)); status.Code(err) != codes.Unauthenticated || gate.calls.Load() != 1 {
		t.Errorf("a call without token: %v, %d calls", err, gate.calls.Load())
	}
}

func TestRefreshUnauthenticated(t *testing.T) {
	issuer := sdktest.New()
	source := newSource(t, issuer)
	first := mustToken(t, source).AccessToken()
	gate := &gatekeeper{judge: func(got string) codes.Code {
		if got == "Bearer "+first {
			return codes.Unauthenticated
		}
		return codes.OK
	}}
	conn := serve(t, newServer(gate.options()...), grpc.WithPerRPCCredentials(sdkgrpc.InsecureCredentials(source)),
		grpc.WithStreamInterceptor(sdkgrpc.RefreshUnauthenticated))
	for i, want := range []codes.Code{codes.Unauthenticated, codes.OK, codes.OK} {
		if _, err := follow(t.Context(), conn); status.Code(err) != want {
			t.Errorf("stream %d: %v, want %v", i, err, want)
		}
	}
	if got := issuer.Requests(sdktest.TokenEndpoint); got != 2 {
		t.Errorf("%d tokens were asked for, want 2", got)
	}
}

func TestRefreshUnauthenticatedHoldsNoStreamUp(t *testing.T) {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	source := client.TokenSource(inventory)
	first := mustToken(t, source)
	gate := &gatekeeper{judge: func(got string) codes.Code {
		if got == "Bearer "+first.AccessToken() {
			return codes.Unauthenticated
		}
		return codes.OK
	}}
	conn := serve(t, newServer(gate.options()...), grpc.WithPerRPCCredentials(sdkgrpc.InsecureCredentials(source)),
		grpc.WithStreamInterceptor(sdkgrpc.RefreshUnauthenticated))
	release := issuer.Block(sdktest.TokenEndpoint)
	began := time.Now()
	if _, err := follow(t.Context(), conn); status.Code(err) != codes.Unauthenticated || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	release()
	if _, err := source.Refresh(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := follow(t.Context(), conn); err != nil || issuer.Requests(sdktest.TokenEndpoint) != 2 {
		t.Errorf("%v after %d requests for tokens", err, issuer.Requests(sdktest.TokenEndpoint))
	}
}

func mustToken(t *testing.T, source *sdk.TokenSource) *sdk.Token {
	t.Helper()
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}
