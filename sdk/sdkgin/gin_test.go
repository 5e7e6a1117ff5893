package sdkgin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkgin"
	"github.com/countersign/countersign/sdk/sdktest"
)

const inventory = "https://inventory.test"

func newVerifier(t *testing.T) (*sdk.Verifier, *sdktest.Issuer) {
	t.Helper()
	issuer := sdktest.New(sdktest.WithDefaults(inventory, "inventory:read"))
	verifier, err := sdk.NewVerifier(issuer.URL(), inventory, sdk.WithHTTPClient(issuer.Client()),
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := verifier.Close(); err != nil {
			t.Error(err)
		}
		issuer.Close()
	})
	return verifier, issuer
}

// newRouter has a group that asks for inventory:read, and in it a route that asks for inventory:write too.
func newRouter(verifier *sdk.Verifier) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	whoami := func(c *gin.Context) {
		identity, ok := sdkgin.Identity(c)
		if !ok {
			c.String(http.StatusTeapot, "nobody")
			return
		}
		c.String(http.StatusOK, identity.ClientID()+c.Param("id")+c.PostForm("amount"))
	}
	router.GET("/open", whoami)
	group := router.Group("/items", sdkgin.Require(verifier, sdk.RequireScope("inventory:read")))
	group.GET("/:id", whoami)
	group.POST("/:id", sdkgin.Require(verifier, sdk.RequireScope("inventory:write").Strict()), whoami)
	return router
}

func TestRequire(t *testing.T) {
	verifier, issuer := newVerifier(t)
	router := newRouter(verifier)
	reader := "Bearer " + issuer.Token(inventory, "inventory:read")
	writer := "Bearer " + issuer.Token(inventory, "inventory:read", "inventory:write")
	for _, tt := range []struct {
		name, method, path string
		authorization      []string
		body               string
		status             int
		answer             string // with 200
		challenge          string // a part of it
	}{
		{name: "no guard", method: http.MethodGet, path: "/open", status: 418},
		{name: "a good token", method: http.MethodGet, path: "/items/7", authorization: []string{reader}, status: 200, answer: issuer.ClientID() + "7"},
		{name: "group and route", method: http.MethodPost, path: "/items/7", authorization: []string{writer}, body: "amount=12", status: 200, answer: issuer.ClientID() + "712"},
		{name: "S01: no token", method: http.MethodGet, path: "/items/7", status: 401, challenge: `Bearer realm="https://inventory.test"`},
		{name: "S08: not the route's scope", method: http.MethodPost, path: "/items/7", authorization: []string{reader}, status: 403, challenge: `error="insufficient_scope"`},
		{name: "S10: a token in the body too", method: http.MethodPost, path: "/items/7", authorization: []string{writer}, body: "access_token=x", status: 400, challenge: `error="invalid_request"`},
		{name: "S11: two headers", method: http.MethodGet, path: "/items/7", authorization: []string{reader, reader}, status: 400, challenge: `error="invalid_request"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			r.Header["Authorization"] = tt.authorization
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			router.ServeHTTP(w, r)
			if w.Code != tt.status || tt.status == 200 && w.Body.String() != tt.answer {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, tt.status, tt.answer)
			}
			if got := w.Header().Get("WWW-Authenticate"); !strings.Contains(got, tt.challenge) || tt.challenge == "" && got != "" {
				t.Errorf("challenge %s, want %s", got, tt.challenge)
			}
			if tt.challenge != "" && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("no problem document: %v", w.Header())
			}
		})
	}
}

func TestRequireAborts(t *testing.T) {
	verifier, _ := newVerifier(t)
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	var aborted, reached bool
	router.Use(func(c *gin.Context) {
		c.Next()
		aborted = c.IsAborted()
	})
	router.GET("/", sdkgin.Require(verifier, sdk.Policy{}), func(*gin.Context) { reached = true })
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if !aborted || reached || w.Code != http.StatusUnauthorized {
		t.Errorf("aborted %v, reached %v, %d", aborted, reached, w.Code)
	}
}
