// Package keys holds the signing keys of the authorization server: their life cycle in the store, the ring that signs and
// verifies JWT access tokens (RFC 9068), and the JWK set (RFC 7517). It also makes and opens the other keys that instances
// share, all sealed under the master key.
package keys

import (
	"time"

	"github.com/countersign/countersign/server/auth"
)

const (
	// JWKSMaxAge is how long a verifier may go on using the JWK set that it fetched. It is also how long a verifier without
	// the revocation feed may go on believing a revoked key, so it is short.
	JWKSMaxAge = 5 * time.Minute
	// PublishAhead is how long a key is published before it signs, unless the operator names another time: every verifier
	// that looks once a day has seen it.
	PublishAhead = 24 * time.Hour
	// MinPublishAhead is the least of it. Some meshes poll every 20 minutes, whatever the max-age.
	MinPublishAhead = max(JWKSMaxAge+time.Minute, 30*time.Minute)
	// DefaultPeriod is the time from one key's activation to the next one's.
	DefaultPeriod = 90 * 24 * time.Hour

	// lag is how far the clocks of two instances may differ.
	lag = 2 * auth.MaxSkew
	// keepAfter is how long a retired key is needed after its successor became active: the longest life of a token that it
	// signed at the last moment, by a clock that is behind, and a leeway of the verifier.
	keepAfter = auth.MaxLifetime + 5*time.Minute
)

// atOnce is the activation time of a key that has to sign right now, also on an instance whose clock is behind.
func atOnce(now time.Time) time.Time { return now.Add(-lag) }
