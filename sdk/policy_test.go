package sdk_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// What a policy asks is asked of a token at first sight and from memory, and costs no allocation there.
func TestPolicy(t *testing.T) {
	clients := []string{"cl_orders", "cl_returns"}
	for _, tt := range []struct {
		name   string
		policy sdk.Policy
		want   error
	}{
		{name: "nothing"},
		{name: "a scope", policy: sdk.RequireScope("a")},
		{name: "all scopes", policy: sdk.RequireScope("a", "b")},
		{name: "one scope too many", policy: sdk.RequireScope("a", "c"), want: sdk.ErrInsufficientScope},
		{name: "one of several", policy: sdk.RequireAnyScope("c", "b")},
		{name: "none of several", policy: sdk.RequireAnyScope("c", "d"), want: sdk.ErrInsufficientScope},
		{name: "both kinds, one missing", policy: sdk.Policy{AllOf: []string{"a"}, AnyOf: []string{"c"}}, want: sdk.ErrInsufficientScope},
		{name: "the client", policy: sdk.Policy{}.From("cl_orders")},
		{name: "the client among others", policy: sdk.RequireScope("a").From("cl_billing", "cl_orders").Strict()},
		{name: "any client", policy: sdk.RequireScope("a")},
		{name: "no client", policy: sdk.RequireScope("a").From(), want: sdk.ErrForbidden},
		{name: "other clients", policy: sdk.RequireScope("a").From("cl_billing", "cl_returns"), want: sdk.ErrForbidden},
		{name: "a client whose name begins alike", policy: sdk.Policy{Clients: []string{"cl_order", "CL_ORDERS"}}, want: sdk.ErrForbidden},
		{name: "the last From counts", policy: sdk.Policy{}.From("cl_orders").From("cl_returns"), want: sdk.ErrForbidden},
		{name: "neither client nor scope", policy: sdk.RequireScope("c").From("cl_returns"), want: sdk.ErrForbidden},
		{name: "the client without the scope", policy: sdk.RequireScope("c").From(clients...), want: sdk.ErrInsufficientScope},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ctx := newService(t), t.Context()
				claims := sdktest.Claims{ClientID: "cl_orders", Scopes: []string{"a", "b"}}
				for _, token := range []string{s.issuer.Mint(claims), s.issuer.MintOpaque(claims)} {
					for _, when := range []string{"at first", "again"} {
						_, err := s.Verify(ctx, token, tt.policy)
						if !errors.Is(err, tt.want) {
							t.Errorf("%s: %v, want %v", when, err, tt.want)
						}
						if refused := new(sdk.VerifyError); errors.As(err, &refused) && (refused.Identity == nil || refused.Identity.ClientID() != "cl_orders") {
							t.Errorf("%s: refused was %v", when, refused.Identity)
						}
					}
					if tt.want != nil {
						continue
					}
					if n := testing.AllocsPerRun(100, func() { _, _ = s.Verify(ctx, token, tt.policy) }); n != 0 {
						t.Errorf("%v allocations", n)
					}
				}
				if n := s.Describe().Tokens; errors.Is(tt.want, sdk.ErrForbidden) != (n.Forbidden == 4) || n.Unavailable != 0 {
					t.Errorf("counted %+v", n)
				}
			})
		})
	}
}
