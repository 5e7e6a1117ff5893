package sdk_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A service whose callers have tokens of several issuers makes a verifier for each, and lets the route say which one judges: no issuer is ever
// asked about another's tokens.
func ExampleNewVerifier_severalIssuers() {
	const stock = "https://stock.example.com"
	eu, us := sdktest.New(), sdktest.New() // stand for https://eu.auth.example.com and https://us.auth.example.com
	defer eu.Close()
	defer us.Close()

	mux := http.NewServeMux()
	for path, issuer := range map[string]*sdktest.Issuer{"GET /eu/items": eu, "GET /us/items": us} {
		verifier, err := sdk.NewVerifier(issuer.URL(), stock,
			sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())), sdk.WithHTTPClient(issuer.Client()))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer verifier.Close()
		mux.Handle(path, verifier.HandlerFunc(sdk.RequireScope("stock:read"), func(http.ResponseWriter, *http.Request) {}))
	}

	claims := sdktest.Claims{Audience: []string{stock}, Scopes: []string{"stock:read"}}
	for _, token := range []string{eu.Mint(claims), eu.MintOpaque(claims)} {
		for _, path := range []string{"/eu/items", "/us/items"} {
			request := httptest.NewRequest("GET", path, nil)
			request.Header.Set("Authorization", "Bearer "+token)
			response := httptest.NewRecorder()
			mux.ServeHTTP(response, request)
			fmt.Println(path, response.Code)
		}
	}
	// Output:
	// /eu/items 200
	// /us/items 401
	// /eu/items 200
	// /us/items 401
}
