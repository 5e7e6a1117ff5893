package sdk

import "context"

// Tracer is told of what takes time: every exchange with the authorization server but the polls of its revocation feed, and every
// look-up in a shared store, never a token that is answered from memory. Package sdkotel makes one for OpenTelemetry.
type Tracer interface {
	// Start begins operation, one of the Operation constants. The context that it returns goes on to the operation; end is called
	// once, with the outcome.
	Start(ctx context.Context, operation string) (_ context.Context, end func(Outcome))
}

// Outcome is how a traced operation ended.
type Outcome struct {
	// Result is a word from a small set, such as "ok", "hit", "miss", "inactive" or "unavailable".
	Result string
	// TokenID is the token's jti, where one is known.
	TokenID string
	// Err is why it failed. It holds no secret.
	Err error
}

// The operations that a [Tracer] is told of.
const (
	OperationMetadata   = "countersign.metadata"    // the server's metadata is fetched, RFC 8414
	OperationToken      = "countersign.token"       // a token is asked for, RFC 6749
	OperationKeys       = "countersign.jwks"        // the server's keys are fetched, RFC 7517
	OperationIntrospect = "countersign.introspect"  // a token is introspected, RFC 7662
	OperationRevoke     = "countersign.revoke"      // a token is taken back, RFC 7009
	OperationTokenStore = "countersign.token_store" // a token is looked up in the shared token store
	OperationShare      = "countersign.share"       // a token is looked up among those that instances share
)
