package sdktest

import (
	"context"
	"time"

	"github.com/countersign/countersign/sdk"
)

// Identity returns the identity of a caller as [sdk.Verifier] would: one that a token of this client and these scopes has. It takes no
// issuer. What else it should say, [sdk.NewIdentity] is for.
func Identity(clientID string, scopes ...string) *sdk.Identity {
	now := time.Now().Truncate(time.Second)
	return sdk.NewIdentity(sdk.Claims{
		Issuer: memoryURL, ClientID: clientID, TokenID: newID(""), Scopes: scopes, Audience: []string{defaultAudience},
		IssuedAt: now, Expires: now.Add(time.Hour),
	})
}

// NewContext returns a context for a handler's request that was verified: that of this client, with these scopes. The handler finds it by
// [sdk.FromContext].
func NewContext(ctx context.Context, clientID string, scopes ...string) context.Context {
	return sdk.NewContext(ctx, Identity(clientID, scopes...))
}
