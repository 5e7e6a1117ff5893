package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// The called side in three lines: a verifier, and a guard for each route.
func ExampleNewVerifier() {
	issuer := sdktest.New() // stands for https://auth.example.com
	defer issuer.Close()

	verifier, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com",
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())), // in production sdk.SecretFile("/run/secrets/inventory")
		sdk.WithHTTPClient(issuer.Client()))                                       // in production not needed
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /items", verifier.HandlerFunc(sdk.RequireScope("inventory:read"), func(w http.ResponseWriter, r *http.Request) {
		caller, _ := sdk.FromContext(r.Context())
		fmt.Fprintf(w, "items for %s", caller.ClientID())
	}))
	mux.Handle("POST /reservations", verifier.HandlerFunc(sdk.RequireScope("inventory:write").Strict(), http.NotFound))

	token := issuer.Mint(sdktest.Claims{ClientID: "orders", Audience: []string{"https://inventory.example.com"}, Scopes: []string{"inventory:read"}})
	for _, request := range []*http.Request{
		httptest.NewRequest("GET", "/items", nil),
		httptest.NewRequest("POST", "/reservations", nil),
	} {
		request.Header.Set("Authorization", "Bearer "+token)
		response := httptest.NewRecorder()
		mux.ServeHTTP(response, request)
		fmt.Println(response.Code, response.Body)
	}
	// Output:
	// 200 items for orders
	// 403 {"type":"about:blank","title":"Forbidden","status":403,"detail":"the token lacks a scope that is needed here"}
}

// exampleVerifier is what ExampleNewVerifier shows.
func exampleVerifier() (*sdk.Verifier, *sdktest.Issuer) {
	issuer := sdktest.New(sdktest.WithDefaults("https://inventory.example.com", "inventory:read"))
	verifier, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com",
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		panic(err)
	}
	return verifier, issuer
}

// A group of routes asks for one scope, and a route in it for another one too.
func ExampleVerifier_Middleware() {
	verifier, issuer := exampleVerifier()
	defer issuer.Close()
	defer verifier.Close()

	items := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "items") }
	prices := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "prices") }

	group := http.NewServeMux()
	group.HandleFunc("GET /inventory/items", items)
	group.Handle("GET /inventory/prices", verifier.HandlerFunc(sdk.RequireAnyScope("prices:read", "prices:write"), prices))
	mux := http.NewServeMux()
	mux.Handle("/inventory/", verifier.Middleware(sdk.RequireScope("inventory:read"))(group))

	for _, scopes := range [][]string{{"inventory:read"}, {"inventory:read", "prices:write"}} {
		request := httptest.NewRequest("GET", "/inventory/prices", nil)
		request.Header.Set("Authorization", "Bearer "+issuer.Token("https://inventory.example.com", scopes...))
		response := httptest.NewRecorder()
		mux.ServeHTTP(response, request)
		fmt.Println(response.Code, response.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 403 Bearer realm="https://inventory.example.com", error="insufficient_scope", error_description="the token lacks a scope that is needed here", scope="prices:read prices:write"
	// 200
}

// VerifyRequest and Reject make a guard for any framework on net/http. This one is for handlers that return errors.
func ExampleVerifier_VerifyRequest() {
	verifier, issuer := exampleVerifier()
	defer issuer.Close()
	defer verifier.Close()

	type handler func(w http.ResponseWriter, r *http.Request) error
	guard := func(p sdk.Policy, next handler) handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			verified, err := verifier.VerifyRequest(r, p)
			if err != nil {
				verifier.Reject(w, r, err)
				return err
			}
			return next(w, verified)
		}
	}

	items := guard(sdk.RequireScope("inventory:read"), func(http.ResponseWriter, *http.Request) error { return nil })
	response := httptest.NewRecorder()
	err := items(response, httptest.NewRequest("GET", "/items", nil))
	fmt.Println(errors.Is(err, sdk.ErrNoToken), response.Code, response.Header().Get("WWW-Authenticate"))
	// Output: true 401 Bearer realm="https://inventory.example.com"
}

// A transport of your own takes the token out of its headers, verifies it, and translates refusals.
func ExampleVerifier_Verify() {
	verifier, issuer := exampleVerifier()
	defer issuer.Close()
	defer verifier.Close()

	type message struct{ headers map[string][]string }
	handle := func(r *http.Request, m message) string {
		token, err := sdk.BearerToken(m.headers["authorization"])
		if err != nil {
			return verifier.Refusal(err).Detail
		}
		caller, err := verifier.Verify(r.Context(), token, sdk.RequireScope("inventory:write").Strict())
		if err != nil {
			return verifier.Refusal(err).Detail
		}
		return "reserved for " + caller.ClientID()
	}

	r := httptest.NewRequest("GET", "/", nil)
	fmt.Println(handle(r, message{}))
	token := issuer.Mint(sdktest.Claims{ClientID: "orders", Scopes: []string{"inventory:write"}})
	fmt.Println(handle(r, message{map[string][]string{"authorization": {"Bearer " + token}}}))
	// Output:
	// no bearer token in the Authorization header
	// reserved for orders
}

// Clients find out by RFC 9728 whom to ask for tokens: challenges name the metadata, and the metadata names the issuer.
func ExampleVerifier_ResourceMetadata() {
	verifier, err := sdk.NewVerifier("https://auth.example.com", "https://api.example.com/inventory",
		sdk.WithResourceMetadata("https://api.example.com/.well-known/oauth-protected-resource/inventory"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	mux := http.NewServeMux()
	mux.Handle(verifier.ResourceMetadataPath(), verifier.ResourceMetadata(sdk.Resource{
		Name:   "Inventory",
		Scopes: []string{"inventory:read", "inventory:write"},
	}))
	mux.Handle("/inventory/", verifier.Middleware(sdk.Policy{})(http.NotFoundHandler()))

	refused := httptest.NewRecorder()
	mux.ServeHTTP(refused, httptest.NewRequest("GET", "/inventory/items", nil))
	fmt.Println(refused.Header().Get("WWW-Authenticate"))
	metadata := httptest.NewRecorder()
	mux.ServeHTTP(metadata, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource/inventory", nil))
	fmt.Println(metadata.Body)
	// Output:
	// Bearer realm="https://api.example.com/inventory", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/inventory"
	// {"resource":"https://api.example.com/inventory","authorization_servers":["https://auth.example.com"],"scopes_supported":["inventory:read","inventory:write"],"bearer_methods_supported":["header"],"resource_name":"Inventory","dpop_signing_alg_values_supported":["ES256","RS256","PS256","EdDSA"]}
}

// A test of a handler needs no issuer: it puts the caller into the context itself.
func ExampleNewContext() {
	items := func(w http.ResponseWriter, r *http.Request) {
		caller, _ := sdk.FromContext(r.Context())
		fmt.Fprintf(w, "for %s: %t", caller.ClientID(), caller.HasScope("inventory:write"))
	}

	caller := sdk.NewIdentity(sdk.Claims{ClientID: "orders", Scopes: []string{"inventory:read"}})
	request := httptest.NewRequest("GET", "/items", nil)
	response := httptest.NewRecorder()
	items(response, request.WithContext(sdk.NewContext(request.Context(), caller)))
	fmt.Println(response.Body)
	// Output: for orders: false
}

// A route for some clients only. Their grants say what they may do elsewhere; here the service itself says who may come.
func ExamplePolicy_From() {
	verifier, issuer := exampleVerifier()
	defer issuer.Close()
	defer verifier.Close()

	policy := sdk.RequireScope("inventory:write").From("cl_orders", "cl_returns").Strict()
	for _, client := range []string{"cl_orders", "cl_reports"} {
		_, err := verifier.Verify(context.Background(), issuer.Mint(sdktest.Claims{ClientID: client, Scopes: []string{"inventory:write"}}), policy)
		fmt.Println(client, err)
	}
	// Output:
	// cl_orders <nil>
	// cl_reports client not allowed: this client may not call here
}

// What a route does while the authorization server is down is its own choice. This server has no revocation feed, so a strict route asks it
// about every token.
func ExamplePolicy_Strict() {
	issuer := sdktest.New(sdktest.WithoutFeed())
	defer issuer.Close()
	verifier, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com",
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	reads := sdk.RequireScope("inventory:read")
	writes := sdk.RequireScope("inventory:write").Strict()
	token := issuer.Token("https://inventory.example.com", "inventory:read", "inventory:write")
	for _, down := range []bool{false, true} {
		issuer.Down(down)
		_, read := verifier.Verify(context.Background(), token, reads)
		_, write := verifier.Verify(context.Background(), token, writes)
		fmt.Printf("down: %-5t read: %t, write: %t, unavailable: %t\n", down, read == nil, write == nil, errors.Is(write, sdk.ErrUnavailable))
	}
	// Output:
	// down: false read: true, write: true, unavailable: false
	// down: true  read: true, write: false, unavailable: true
}

// A readiness probe that waits for the issuer's keys and revocations, so that no caller has to.
func ExampleVerifier_Ready() {
	verifier, issuer := exampleVerifier()
	defer issuer.Close()
	defer verifier.Close()

	ready := func(w http.ResponseWriter, r *http.Request) {
		if err := verifier.Ready(r.Context()); err != nil {
			verifier.Reject(w, r, err)
		}
	}
	response := httptest.NewRecorder()
	ready(response, httptest.NewRequest("GET", "/readyz", nil))
	fmt.Println(response.Code)
	// Output: 200
}
