// Package sdk gives a service its tokens and checks those of its callers, against any OAuth 2.0 authorization server that keeps
// to the standards, and best against Countersign.
//
// The calling side is a [Client]: it finds the server's endpoints (RFC 8414), asks for tokens by client credentials (RFC 6749 §4.4),
// shares one token per resource and scopes among all goroutines, and replaces it before it expires.
//
//	client, err := sdk.New("https://auth.example.com", "cl_…", sdk.SecretFile("/run/secrets/orders"))
//	inventory := client.HTTPClient("https://inventory.example.com", "inventory:read")
//	resp, err := inventory.Get("https://inventory.example.com/items")
//
// In place of a secret it may have a key ([PrivateKeyFile]), a certificate ([ClientCertificate]) or a token of another issuer ([AssertionFile]),
// and its tokens may be bound to a key ([WithDPoP]) or to the certificate, so that nobody else can use them.
//
// The called side is a [Verifier]: it checks JWTs (RFC 9068) by the server's published keys and opaque tokens by introspection
// (RFC 7662), remembers what it found, and hears of revocations within a bound.
//
//	verifier, err := sdk.NewVerifier("https://auth.example.com", "https://inventory.example.com",
//		sdk.WithCredentials("cl_…", sdk.SecretFile("/run/secrets/inventory")))
//	mux.Handle("GET /items", verifier.HandlerFunc(sdk.RequireScope("inventory:read"), listItems))
//
// Nothing here does I/O before the first token is asked for or looked at, and everything is safe for concurrent use. Values that hold
// a token or a secret print as [redacted].
package sdk
