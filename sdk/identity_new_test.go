package sdk_test

import (
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
)

func TestNewIdentity(t *testing.T) {
	scopes := []string{"read"}
	expires := time.Unix(1793621400, 0)
	i := sdk.NewIdentity(sdk.Claims{
		Issuer: "https://issuer.test", ClientID: "cl_orders", TokenID: "j1", Scopes: scopes, Audience: []string{"https://api.test"},
		Expires: expires, Actors: []sdk.Actor{{Subject: "cl_gateway"}}, Members: map[string]any{"tenant": 7},
	})
	scopes[0] = "write"
	if i.Subject() != "cl_orders" || !i.HasScope("read") || i.HasScope("write") || !i.Expires().Equal(expires) ||
		i.Audience()[0] != "https://api.test" || i.Actors()[0].Subject != "cl_gateway" || i.Issuer() != "https://issuer.test" {
		t.Errorf("the identity is %v of %s, with %v for %v", i, i.Issuer(), i.Scopes(), i.Audience())
	}
	var tenant int
	if found, err := i.Claim("tenant", &tenant); !found || err != nil || tenant != 7 {
		t.Errorf("Claim(tenant) = %t, %v, and %d", found, err, tenant)
	}
	if other := sdk.NewIdentity(sdk.Claims{ClientID: "cl_orders", Subject: "user"}); other.String() != "cl_orders for user" {
		t.Errorf("the identity prints as %s", other)
	}
}

func TestNewIdentityRefusesWhatIsNoJSON(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a claim that cannot be JSON was taken")
		}
	}()
	sdk.NewIdentity(sdk.Claims{Members: map[string]any{"f": func() {}}})
}
