package sdkgrpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgrpc"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A service that is called by gRPC calls the next one, which sees on whose behalf.
func TestExchangeCredentials(t *testing.T) {
	verifier, issuer := newVerifier(t)
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	const orders = "https://orders.test"
	next := newGuard(t, verifier, sdkgrpc.Policies{"*": sdk.RequireScope("inventory:read")})
	var behalf string
	inventoryConn := serve(t, newServer(append(next.ServerOptions(), grpc.ChainUnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if identity, ok := sdk.FromContext(ctx); ok {
				behalf = identity.Subject()
			}
			return handler(ctx, request)
		}))...))
	onBehalf := grpc.PerRPCCredentials(sdkgrpc.InsecureExchangeCredentials(client, inventory, "inventory:read"))
	middle := newGuard(t, verifier.ForAudience(orders), sdkgrpc.Policies{"*": {}})
	ordersConn := serve(t, newServer(append(middle.ServerOptions(), grpc.ChainUnaryInterceptor(
		func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			_, err := ask(ctx, inventoryConn, onBehalf)
			return new(emptypb.Empty), err
		}))...))
	token := issuer.Mint(sdktest.Claims{ClientID: "shop", Audience: []string{orders}})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	if _, err := ask(ctx, ordersConn); err != nil || behalf != "shop" {
		t.Errorf("%v, on behalf of %q", err, behalf)
	}
	if _, err := ask(t.Context(), inventoryConn, onBehalf); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a caller: %v", err)
	}
	issuer.Revoke(token)
	if _, err := client.Exchange(t.Context(), token, "https://other.test"); err == nil {
		t.Error("a revoked token is exchanged")
	}
}
