package sdkgrpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgrpc"
	"github.com/countersign/countersign/sdk/sdktest"
)

func TestGuard(t *testing.T) {
	verifier, issuer := newVerifier(t)
	guard := newGuard(t, verifier, sdkgrpc.Policies{"/test.Who/*": sdk.RequireScope("inventory:read").From(issuer.ClientID())})
	conn := serve(t, newServer(guard.ServerOptions()...))
	good := issuer.Token(inventory, "inventory:read")
	const challenge = `Bearer realm="https://inventory.test"`

	for _, tt := range []struct {
		name          string
		authorization []string
		code          codes.Code
		challenge     string
	}{
		{name: "a good token", authorization: []string{"Bearer " + good}},
		{name: "S12: a scheme in lower case", authorization: []string{"bearer " + good}},
		{name: "S01: no token", code: codes.Unauthenticated, challenge: challenge + "$"},
		{name: "another scheme", authorization: []string{"Basic " + good}, code: codes.Unauthenticated, challenge: challenge + "$"},
		{name: "S02: a malformed header", authorization: []string{"Bearer a b"}, code: codes.InvalidArgument, challenge: challenge + `, error="invalid_request", `},
		{name: "S03: expired", authorization: []string{"Bearer " + issuer.Mint(sdktest.Claims{Lifetime: -time.Hour})}, code: codes.Unauthenticated, challenge: challenge + `, error="invalid_token", `},
		{name: "S08: a scope is missing", authorization: []string{"Bearer " + issuer.Token(inventory, "other")}, code: codes.PermissionDenied, challenge: challenge + `, error="insufficient_scope", `},
		{name: "another client", authorization: []string{"Bearer " + issuer.Mint(sdktest.Claims{ClientID: "cl_another", Audience: []string{inventory}, Scopes: []string{"inventory:read"}})}, code: codes.PermissionDenied, challenge: challenge + "$"},
		{name: "S11: two tokens", authorization: []string{"Bearer " + good, "Bearer " + good}, code: codes.InvalidArgument, challenge: challenge + `, error="invalid_request", `},
	} {
		for _, method := range []struct {
			name string
			call func(context.Context, *grpc.ClientConn, ...grpc.CallOption) (string, error)
		}{{"unary", ask}, {"stream", follow}} {
			t.Run(tt.name+", "+method.name, func(t *testing.T) {
				ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": tt.authorization})
				var trailer metadata.MD
				got, err := method.call(ctx, conn, grpc.Trailer(&trailer))
				if status.Code(err) != tt.code || err == nil && got != issuer.ClientID() {
					t.Errorf("%q, %v; want %v", got, err, tt.code)
				}
				if got := strings.Join(trailer.Get("www-authenticate"), "|") + "$"; !strings.HasPrefix(got, tt.challenge) || tt.challenge == "" && got != "$" {
					t.Errorf("challenge %s, want %s", got, tt.challenge)
				}
				if err != nil && strings.Contains(err.Error(), good[:40]) {
					t.Errorf("the error holds the token: %v", err)
				}
			})
		}
	}
}

func TestGuardWhileTheServerIsDown(t *testing.T) {
	verifier, issuer := newVerifier(t)
	issuer.Down(true)
	conn := serve(t, newServer(newGuard(t, verifier, sdkgrpc.Policies{"*": {}}).ServerOptions()...))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+issuer.Token(inventory))
	if _, err := ask(ctx, conn); status.Code(err) != codes.Unavailable {
		t.Errorf("S15: %v, want Unavailable", err)
	}
}

func TestGuardGivenUp(t *testing.T) {
	verifier, issuer := newVerifier(t)
	guard := newGuard(t, verifier, sdkgrpc.Policies{"*": {}})
	ctx, cancel := context.WithCancel(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+issuer.Token(inventory))))
	cancel()
	issuer.Down(true)
	_, err := guard.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: who}, func(context.Context, any) (any, error) { return nil, nil })
	if status.Code(err) != codes.Canceled {
		t.Errorf("%v, want Canceled", err)
	}
}

func TestGuardChoosesTheMostSpecificRule(t *testing.T) {
	verifier, issuer := newVerifier(t)
	write := sdk.RequireScope("inventory:write")
	for _, tt := range []struct {
		name     string
		policies sdkgrpc.Policies
		public   []string
		who      codes.Code
		watch    codes.Code
	}{
		{name: "none: refused", who: codes.PermissionDenied, watch: codes.PermissionDenied},
		{name: "of another service: refused", policies: sdkgrpc.Policies{"/test.Whom/*": {}}, who: codes.PermissionDenied, watch: codes.PermissionDenied},
		{name: "of everything", policies: sdkgrpc.Policies{"*": {}}},
		{name: "service over everything", policies: sdkgrpc.Policies{"*": {}, "/test.Who/*": write}, who: codes.PermissionDenied, watch: codes.PermissionDenied},
		{name: "method over service", policies: sdkgrpc.Policies{"/test.Who/*": {}, watch: write}, watch: codes.PermissionDenied},
		{name: "public over service", policies: sdkgrpc.Policies{"/test.Who/*": write}, public: []string{watch}, who: codes.PermissionDenied},
		{name: "method over public", policies: sdkgrpc.Policies{watch: write}, public: []string{"/test.Who/*"}, watch: codes.PermissionDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			guard := newGuard(t, verifier, tt.policies, sdkgrpc.Public(tt.public...))
			conn := serve(t, newServer(guard.ServerOptions()...))
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+issuer.Token(inventory, "inventory:read"))
			if _, err := ask(ctx, conn); status.Code(err) != tt.who {
				t.Errorf("Who: %v, want %v", err, tt.who)
			}
			if _, err := follow(ctx, conn); status.Code(err) != tt.watch {
				t.Errorf("Watch: %v, want %v", err, tt.watch)
			}
		})
	}
}

func TestPublicMethodsNeedNoToken(t *testing.T) {
	verifier, _ := newVerifier(t)
	guard := newGuard(t, verifier, sdkgrpc.Policies{"*": {}}, sdkgrpc.Public("/grpc.health.v1.Health/*", who))
	conn := serve(t, newServer(guard.ServerOptions()...))
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer nonsense")
	if got, err := ask(ctx, conn); got != "nobody" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := follow(t.Context(), conn); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a method that is not public: %v", err)
	}
}

func TestNewGuardRefuses(t *testing.T) {
	verifier, _ := newVerifier(t)
	for _, name := range []string{"", "/", "//Who", "test.Who/Who", "/test.Who", "/test.Who/", "/test.Who/W*", "**", "/*"} {
		if _, err := sdkgrpc.NewGuard(verifier, sdkgrpc.Policies{name: {}}); err == nil {
			t.Errorf("a policy of %q is accepted", name)
		}
		if _, err := sdkgrpc.NewGuard(verifier, nil, sdkgrpc.Public(name)); err == nil {
			t.Errorf("public %q is accepted", name)
		}
	}
	if _, err := sdkgrpc.NewGuard(verifier, nil, sdkgrpc.Public("*")); err == nil {
		t.Error("everything is public")
	}
	if _, err := sdkgrpc.NewGuard(verifier, sdkgrpc.Policies{who: {}}, sdkgrpc.Public(who)); err == nil {
		t.Error("a method is public and has a policy")
	}
}

func TestGuardCheck(t *testing.T) {
	verifier, _ := newVerifier(t)
	for _, tt := range []struct {
		name     string
		policies sdkgrpc.Policies
		public   []string
		want     []string
	}{
		{name: "all there", policies: sdkgrpc.Policies{"*": {}, who: {}, "/test.Who/*": {}}},
		{
			name: "a method without policy", policies: sdkgrpc.Policies{who: {}}, public: []string{"/grpc.health.v1.Health/*"},
			want: []string{"/test.Who/Watch has no policy"},
		},
		{
			name: "misspelt", policies: sdkgrpc.Policies{"*": {}, "/test.Who/who": {}, "/Who/*": {}}, public: []string{"/test.Who/Wath"},
			want: []string{"the server has no /Who/", "the server has no /test.Who/Wath", "the server has no /test.Who/who"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			guard := newGuard(t, verifier, tt.policies, sdkgrpc.Public(tt.public...))
			err := guard.Check(newServer())
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != strings.Join(tt.want, "\n") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
