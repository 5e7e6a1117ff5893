// Package sdkgrpc takes package sdk to gRPC. On the calling side, calls of a connection bear tokens, and if a server refuses one it is
// replaced:
//
//	source := client.TokenSource("https://inventory.example.com", "inventory:read")
//	conn, err := grpc.NewClient(target, append(sdkgrpc.DialOptions(source), grpc.WithTransportCredentials(tls))...)
//
// The called side is a [Guard], which lets nothing pass that it has no policy for:
//
//	guard, err := sdkgrpc.NewGuard(verifier, sdkgrpc.Policies{
//		"/inventory.v1.Inventory/*":       sdk.RequireScope("inventory:read"),
//		"/inventory.v1.Inventory/Reserve": sdk.RequireScope("inventory:write").Strict(),
//	}, sdkgrpc.Public("/grpc.health.v1.Health/*"))
//	server := grpc.NewServer(guard.ServerOptions()...)
//
// A method asks for its caller with [sdk.FromContext].
package sdkgrpc
