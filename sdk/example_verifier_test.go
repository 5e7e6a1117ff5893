package sdk_test

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// Two APIs in one process share keys, revocations and memory; a token for one does not pass at the other.
func ExampleVerifier_ForAudience() {
	issuer := sdktest.New()
	defer issuer.Close()
	// What is not verified with credentials is judged by its signature alone.
	inventory, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com",
		sdk.WithoutRevocation(), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = inventory.Close() }()
	prices := inventory.ForAudience("https://prices.example.com")

	token := issuer.Token("https://prices.example.com")
	_, err = inventory.Verify(context.Background(), token, sdk.Policy{})
	fmt.Println("inventory:", err)
	_, err = prices.Verify(context.Background(), token, sdk.Policy{})
	fmt.Println("prices:", err)
	// Output:
	// inventory: invalid token: the token is for another audience
	// prices: <nil>
}
