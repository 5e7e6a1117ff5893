package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// newInventory is the service that the examples call. It answers how it was asked.
func newInventory() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		fmt.Fprintf(w, "%s with a %s token", r.Method, scheme)
	}))
}

// The three lines of a service that calls another one. Here the authorization server is a fake one, which WithHTTPClient reaches.
func ExampleClient_HTTPClient() {
	issuer := sdktest.New()
	service := newInventory()
	defer service.Close()

	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	inventory := client.HTTPClient("https://inventory.example.com", "inventory:read")
	resp, err := inventory.Get(service.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	text := make([]byte, 100)
	n, _ := resp.Body.Read(text)
	fmt.Println(string(text[:n]))
	// Output: GET with a Bearer token
}

// A client that exists already keeps its transport: time-outs, tracing and certificates stay as they are.
func ExampleClient_Transport() {
	issuer := sdktest.New()
	service := newInventory()
	defer service.Close()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	inventory := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{MaxConnsPerHost: 50}}
	inventory.Transport = client.Transport(inventory.Transport, "https://inventory.example.com", "inventory:read")

	resp, err := inventory.Head(service.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// For what is not HTTP the token is had by itself. All goroutines have the same one; it is never printed.
func ExampleTokenSource_Token() {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	source := client.TokenSource("https://inventory.example.com", "inventory:write", "inventory:read")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	token, err := source.Token(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token, token.Type(), token.Scopes(), len(token.AccessToken()) > 0)
	// Output: [redacted] Bearer [inventory:read inventory:write] true
}

// A readiness probe of a service that calls others: it is not ready while it could not.
func ExampleTokenSource_Ready() {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret("mistyped"), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	source := client.TokenSource("https://inventory.example.com", "inventory:read") // the one that HTTPClient with the same arguments uses
	ready := func(w http.ResponseWriter, r *http.Request) {
		if err := source.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
	probe := httptest.NewRecorder()
	ready(probe, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Print(probe.Code, " ", probe.Body)
	// Output: 503 token request refused: invalid_client: client authentication failed
}

// What a service does that finds its token refused and does not use Transport.
func ExampleTokenSource_Refresh() {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	source := client.TokenSource("https://inventory.example.com")
	token, err := source.Token(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	other, err := source.Refresh(ctx, token)
	fmt.Println(other.AccessToken() != token.AccessToken(), err)
	// Output: true <nil>
}

// Errors tell who has to do something: the server's refusals name their code, an outage is ErrUnavailable.
func ExampleTokenError() {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret("mistyped"), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	_, err = client.TokenSource("").Token(context.Background())
	var refused *sdk.TokenError
	switch {
	case errors.Is(err, sdk.ErrUnavailable):
		fmt.Println("try again later")
	case errors.As(err, &refused):
		fmt.Println(refused.Code)
	}
	// Output: invalid_client
}

// Many instances of one service share a token, so that a rollout does not ask for hundreds. Package sdkredis has a store on Redis.
func ExampleWithSharedTokens() {
	issuer := sdktest.New()
	store := &memoryStore{} // in production, one that all instances reach
	for range 3 {
		instance, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()),
			sdk.WithHTTPClient(issuer.Client()), sdk.WithSharedTokens(store))
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := instance.TokenSource("https://inventory.example.com").Token(context.Background()); err != nil {
			fmt.Println(err)
		}
		_ = instance.Close()
	}
	fmt.Println(issuer.Requests(sdktest.TokenEndpoint), "request for three instances")
	// Output: 1 request for three instances
}

// A page for those on call.
func ExampleClient_Describe() {
	issuer := sdktest.New()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	if _, err := client.TokenSource("https://inventory.example.com", "inventory:read").Token(context.Background()); err != nil {
		fmt.Println(err)
	}

	for _, source := range client.Describe().Sources {
		fmt.Println(source.Resource, source.Scopes, source.State)
	}
	// Output: https://inventory.example.com [inventory:read] fresh
}

// A service that is called calls the next one in its caller's name. The middleware leaves the caller's token in the request's context, where the
// transport finds it.
func ExampleClient_ExchangeTransport() {
	issuer := sdktest.New()
	inventory := newInventory()
	defer inventory.Close()
	credentials := sdk.Secret(issuer.ClientSecret())
	verifier, err := sdk.NewVerifier(issuer.URL(), "https://orders.example.com", sdk.WithCredentials(issuer.ClientID(), credentials), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = verifier.Close() }()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), credentials, sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	onBehalf := &http.Client{Transport: client.ExchangeTransport(nil, "https://inventory.example.com", "inventory:read")}
	orders := verifier.HandlerFunc(sdk.RequireScope("orders:read"), func(w http.ResponseWriter, r *http.Request) {
		call, err := http.NewRequestWithContext(r.Context(), http.MethodGet, inventory.URL, nil)
		if err != nil {
			http.Error(w, "no such place", http.StatusInternalServerError)
			return
		}
		answer, err := onBehalf.Do(call)
		var refused *sdk.TokenError
		switch {
		case errors.As(err, &refused) && refused.Code == "invalid_grant": // the caller's token was revoked a moment ago
			http.Error(w, "call again with another token", http.StatusUnauthorized)
			return
		case err != nil:
			http.Error(w, "the inventory cannot be asked", http.StatusServiceUnavailable)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		_, _ = io.Copy(w, answer.Body)
	})

	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token("https://orders.example.com", "orders:read"))
	w := httptest.NewRecorder()
	orders.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 GET with a Bearer token
}
