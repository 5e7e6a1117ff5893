package sdktest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/sdktest"
)

// An issuer in memory: no port, no network, and time stands still in it within a bubble of testing/synctest.
func ExampleNew() {
	issuer := sdktest.New()
	resp, err := issuer.Client().PostForm(issuer.URL()+"/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "resource": {"https://inventory.example.com"},
		"client_id": {issuer.ClientID()}, "client_secret": {issuer.ClientSecret()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, issuer.Requests(sdktest.TokenEndpoint))
	// Output: 200 OK 1
}

// An issuer on loopback that stops at the end of the test.
func ExampleStart() {
	_ = func(t *testing.T) {
		issuer := sdktest.Start(t, sdktest.WithOpaqueTokens())
		t.Log(issuer.URL(), issuer.Token("https://inventory.example.com", "inventory:read"))
	}
}

// Tokens that a service must refuse.
func ExampleIssuer_Mint() {
	issuer := sdktest.New()
	audience := []string{"https://inventory.example.com"}
	for _, claims := range []sdktest.Claims{
		{Audience: []string{"https://orders.example.com"}},
		{Audience: audience, Lifetime: -time.Minute},
		{Audience: audience, Members: map[string]any{"exp": nil}},
		{Audience: audience, Header: map[string]any{"typ": "JWT"}},
		{Audience: audience, Key: sdktest.NewKey(sdktest.ES256, issuer.Key().ID())},
	} {
		fmt.Println(strings.Count(issuer.Mint(claims), "."))
	}
	// Output:
	// 2
	// 2
	// 2
	// 2
	// 2
}

// The issuer answers two requests by 503 and is well again.
func ExampleIssuer_Fail() {
	issuer := sdktest.New()
	issuer.Fail(sdktest.Failure{Status: 503, RetryAfter: 2 * time.Second, Times: 2}, sdktest.JWKSEndpoint)
	for range 3 {
		resp, err := issuer.Client().Get(issuer.URL() + "/oauth2/jwks")
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	// Output:
	// 503 2
	// 503 2
	// 200
}

// A key set that is no JSON, and then one without the keys.
func ExampleIssuer_Replace() {
	issuer := sdktest.New()
	issuer.Replace(sdktest.JWKSEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<html>")
	}))
	issuer.Replace(sdktest.JWKSEndpoint, nil)
	issuer.Alter(sdktest.JWKSEndpoint, func(answer map[string]any) { answer["keys"] = []any{} })
}

// Many callers, one request: they are held until all are there, and what came in the end is counted.
func ExampleIssuer_Block() {
	issuer := sdktest.New()
	release := issuer.Block(sdktest.JWKSEndpoint)
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err := issuer.Client().Get(issuer.URL() + "/oauth2/jwks")
		if err == nil {
			resp.Body.Close()
		}
	}()
	if err := issuer.Await(context.Background(), sdktest.JWKSEndpoint, 1); err != nil {
		fmt.Println(err)
	}
	release()
	<-done
	fmt.Println(issuer.Requests(sdktest.JWKSEndpoint))
	// Output: 1
}
