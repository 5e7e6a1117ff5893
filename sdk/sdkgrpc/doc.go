// Package sdkgrpc takes package sdk to gRPC. The calling side are credentials, and an interceptor that tries once more with a new
// token if a server refuses the old one:
//
//	source := client.TokenSource("https://inventory.example.com", "inventory:read")
//	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(tls),
//		grpc.WithPerRPCCredentials(sdkgrpc.Credentials(source)), grpc.WithUnaryInterceptor(sdkgrpc.RetryUnauthenticated))
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
