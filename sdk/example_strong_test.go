package sdk_test

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A client with a key pair has no secret: the server knows its public key. In production the key is in a file (PrivateKeyFile), or in a
// security module, whose crypto.Signer proof.NewKey takes.
func ExamplePrivateKey() {
	key, err := proof.GenerateKey(jose.ES256)
	if err != nil {
		fmt.Println(err)
		return
	}
	issuer := sdktest.New()
	issuer.AddKey(issuer.ClientID(), key.PublicJWK())

	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.PrivateKey(key), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	fmt.Println(client.TokenSource("https://inventory.example.com").Ready(context.Background()))
	// Output: <nil>
}

// Tokens that are bound to a key are sent with a proof for each request. The code of the calls is that of any token.
func ExampleWithDPoP() {
	issuer := sdktest.New()
	service := newInventory()
	defer service.Close()

	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()), sdk.WithDPoP(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	resp, err := client.HTTPClient("https://inventory.example.com", "inventory:read").Get(service.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	text := make([]byte, 100)
	n, _ := resp.Body.Read(text)
	fmt.Println(string(text[:n]))
	// Output: GET with a DPoP token
}
