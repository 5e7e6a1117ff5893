package sdkgin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgin"
	"github.com/countersign/countersign/sdk/sdktest"
)

func ExampleRequire() {
	issuer := sdktest.New() // in production: https://auth.example.com
	defer issuer.Close()
	verifier, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com",
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	items := router.Group("/items", sdkgin.Require(verifier, sdk.RequireScope("inventory:read")))
	items.GET("", func(c *gin.Context) {
		caller, _ := sdkgin.Identity(c)
		c.String(http.StatusOK, "items for a caller with %v", caller.Scopes())
	})
	items.DELETE("/:id", sdkgin.Require(verifier, sdk.RequireScope("inventory:write").Strict()), func(c *gin.Context) {
		c.Status(http.StatusNoContent)
	})

	for _, request := range []*http.Request{
		httptest.NewRequest(http.MethodGet, "/items", nil),
		httptest.NewRequest(http.MethodDelete, "/items/7", nil),
	} {
		request.Header.Set("Authorization", "Bearer "+issuer.Token("https://inventory.example.com", "inventory:read"))
		response := httptest.NewRecorder()
		router.ServeHTTP(response, request)
		fmt.Println(response.Code, response.Body)
	}
	// Output:
	// 200 items for a caller with [inventory:read]
	// 403 {"type":"about:blank","title":"Forbidden","status":403,"detail":"the token lacks a scope that is needed here"}
}
