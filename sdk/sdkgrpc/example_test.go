package sdkgrpc_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgrpc"
	"github.com/countersign/countersign/sdk/sdktest"
)

// The called side: a server whose methods each have a policy, but for those that are public.
func ExampleNewGuard() {
	verifier, err := sdk.NewVerifier("https://auth.example.com", "https://inventory.example.com",
		sdk.WithCredentials("cl_inventory", sdk.SecretFile("/run/secrets/inventory")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	guard, err := sdkgrpc.NewGuard(verifier, sdkgrpc.Policies{
		"/inventory.v1.Inventory/*":       sdk.RequireScope("inventory:read"),
		"/inventory.v1.Inventory/Reserve": sdk.RequireScope("inventory:write").Strict(),
	}, sdkgrpc.Public("/grpc.health.v1.Health/*"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(guard.ServerOptions()...)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	// inventory was forgotten: pb.RegisterInventoryServer(server, inventory)
	fmt.Println(guard.Check(server))
	// Output:
	// the server has no /inventory.v1.Inventory/
	// the server has no /inventory.v1.Inventory/Reserve
}

// Both sides: a client whose calls bear tokens, and a server that asks for them.
func ExampleCredentials() {
	issuer := sdktest.New() // stands for https://auth.example.com
	defer issuer.Close()
	own := sdk.WithHTTPClient(issuer.Client()) // in production not needed

	verifier, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com", own,
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()
	guard, err := sdkgrpc.NewGuard(verifier, sdkgrpc.Policies{"/grpc.health.v1.Health/*": sdk.RequireScope("inventory:read")})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(guard.ServerOptions()...)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	listener := bufconn.Listen(1 << 16) // in production net.Listen
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), own)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	source := client.TokenSource("https://inventory.example.com", "inventory:read")
	conn, err := grpc.NewClient("passthrough:///inventory.example.com:443",
		grpc.WithPerRPCCredentials(sdkgrpc.InsecureCredentials(source)), // in production DialOptions(source)
		grpc.WithTransportCredentials(insecure.NewCredentials()),        // and credentials.NewTLS
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	answer, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), status.Code(err))
	// Output: SERVING OK
}
