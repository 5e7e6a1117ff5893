package sdkoauth2_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"golang.org/x/oauth2"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkoauth2"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A library that was written for golang.org/x/oauth2 gets its tokens from the SDK. oauth2.Transport asks for each request and keeps
// nothing, so what the SDK replaces is used at once; the transport of sdk.Client does more, after a 401 for one.
func ExampleTokenSource() {
	issuer := sdktest.New()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Authorization") != "")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer service.Close()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	ctx := context.Background() // ends with the service
	source := sdkoauth2.TokenSource(ctx, client.TokenSource("https://inventory.example.com"))
	library := &http.Client{Transport: &oauth2.Transport{Source: source}}

	resp, err := library.Get(service.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// true
	// 204 No Content
}
