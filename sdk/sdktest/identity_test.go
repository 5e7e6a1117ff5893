package sdktest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A handler behind the verifier's middleware is tested without it, and without a server.
func ExampleNewContext() {
	items := func(w http.ResponseWriter, r *http.Request) {
		caller, ok := sdk.FromContext(r.Context())
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "items for %s, may write: %t", caller.ClientID(), caller.HasScope("inventory:write"))
	}

	r := httptest.NewRequest(http.MethodGet, "/items", nil)
	r = r.WithContext(sdktest.NewContext(r.Context(), "cl_orders", "inventory:read"))
	w := httptest.NewRecorder()
	items(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 items for cl_orders, may write: false
}

func TestIdentity(t *testing.T) {
	i := sdktest.Identity("cl_orders", "read", "write")
	if i.Subject() != "cl_orders" || len(i.Scopes()) != 2 || i.TokenID() == "" || len(i.Audience()) != 1 || i.Issuer() == "" ||
		!i.Expires().After(i.IssuedAt()) {
		t.Errorf("the identity is %v with %v until %v", i, i.Scopes(), i.Expires())
	}
}
