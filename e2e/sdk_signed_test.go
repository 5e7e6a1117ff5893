package e2e

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/sdk"
)

// The SDK believes the server's signed introspection answers (RFC 9701), whatever algorithm the API's tokens are signed by.
func TestSDKSignedIntrospection(t *testing.T) {
	w := newForeignWorld(t)
	issuer := startServer(t, w.Settings()...).Issuer
	audiences := map[string]string{"opaque": opaqueAPI}
	for algorithm, audience := range w.APIs {
		audiences[string(algorithm)] = audience
	}
	for name, audience := range audiences {
		t.Run("I15 "+name, func(t *testing.T) {
			// Without the feed a strict route asks about every token.
			verifier := newSDKVerifier(t, issuer, audience, w.Server, sdk.WithSignedIntrospection(), sdk.WithoutRevocation())
			strict := sdk.RequireScope("read").Strict()
			presented := token(t, issuer, w.Caller, asking(audience, "read"))
			identity, err := verifier.Verify(t.Context(), presented, strict)
			if err != nil || identity.ClientID() != w.Caller.ID {
				t.Fatalf("got %v, %v", identity, err)
			}
			revoke(t, issuer, w.Caller, presented)
			if _, err := verifier.Verify(t.Context(), presented, strict); !errors.Is(err, sdk.ErrInvalidToken) {
				t.Errorf("after its revocation: %v", err)
			}
			if asked := verifier.Describe().Tokens.Introspections; asked != 2 {
				t.Errorf("%d introspections", asked)
			}
		})
	}
}
