package sdk_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// Who reads why a call was answered 503 learns why the server had to be asked, and then why it could not be.
func TestWhyTheServerHadToBeAsked(t *testing.T) {
	strict := sdk.Policy{}.Strict()
	for _, tt := range []struct {
		name   string
		issuer []sdktest.Option
		policy sdk.Policy
		opaque bool
		after  time.Duration
		want   string
	}{
		{name: "beyond the bound", policy: strict, after: 16 * time.Second, want: "nothing was heard of revocations for 1"}, // 15 to 17 s
		{name: "beyond the grace", after: 16 * time.Minute, want: "nothing was heard of revocations for 16m"},
		{name: "no feed", issuer: []sdktest.Option{sdktest.WithoutFeed()}, policy: strict, want: "the issuer's revocations are not followed, so a strict route asks each time: introspect: "},
		{name: "no feed, beyond the grace", issuer: []sdktest.Option{sdktest.WithoutFeed()}, opaque: true, after: 16 * time.Minute, want: "the last answer about the token is older than the grace of 15m0s: introspect: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serviceOf(t, sdktest.New(tt.issuer...))
				token := s.issuer.Mint(sdktest.Claims{})
				if tt.opaque {
					token = s.issuer.MintOpaque(sdktest.Claims{})
				}
				s.expect(t, "before", "ok", token, sdk.Policy{})
				s.issuer.Down(true)
				time.Sleep(tt.after)
				_, err := s.Verify(t.Context(), token, tt.policy)
				if outcome(err) != "503" || !strings.HasPrefix(err.Error(), "authorization server unavailable: "+tt.want) ||
					!strings.Contains(err.Error(), ": introspect: ask https://issuer.test/oauth2/introspect: ") {
					t.Errorf("%v, want %s…", err, tt.want)
				}
				if tt.policy.Mode == sdk.Strict && len(tt.issuer) == 0 && !strings.Contains(err.Error(), ", the bound is 1s: introspect") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}
