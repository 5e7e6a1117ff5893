package sdk

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/sdk/jose"
)

func newVerifierConfig() *verifierConfig {
	return &verifierConfig{
		common: newCommon(),
		bound:  time.Second, grace: 15 * time.Minute, leeway: time.Minute,
		cacheSize: 16384, algorithms: jose.Algorithms(), keysMaxAge: 24 * time.Hour,
	}
}

// WithCredentials sets as which client the verifier introspects tokens and follows the revocation feed. Of a Countersign server it is a
// client that serves the API, or has the scopes introspect:all and revocations:read of urn:countersign:server. Without it only JWTs can
// be verified, and of a server with a revocation feed none, unless [WithoutRevocation] is given.
func WithCredentials(clientID string, auth ClientAuth) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if clientID == "" || auth == nil {
			return errors.New("WithCredentials: client id and credentials are both needed")
		}
		c.clientID, c.auth = clientID, auth
		return nil
	})
}

// WithBound sets how long after its revocation a token may still be accepted by a [Strict] route: 100 ms to 1 min, 1 s by default. The
// revocation feed is polled about three times as often, and an introspection may take twice as long, or 1 s if that is longer.
func WithBound(bound time.Duration) VerifierOption {
	return durationOption("WithBound", bound, 100*time.Millisecond, time.Minute, func(c *verifierConfig) { c.bound = bound })
}

// WithGrace sets for how long routes of mode [Available] go on while nothing is heard of revocations: 0 to 24 h, 15 min by default.
func WithGrace(grace time.Duration) VerifierOption {
	return durationOption("WithGrace", grace, 0, 24*time.Hour, func(c *verifierConfig) { c.grace = grace })
}

// WithLeeway sets by how much the clocks of issuer and verifier may differ: 0 to 5 min, 1 min by default. A token is accepted for so
// long after its exp and before its nbf and iat.
func WithLeeway(leeway time.Duration) VerifierOption {
	return durationOption("WithLeeway", leeway, 0, 5*time.Minute, func(c *verifierConfig) { c.leeway = leeway })
}

// WithKeysMaxAge sets for how long the issuer's keys are used after they were last fetched, through an outage: 1 min to 30 days, 24 h
// by default.
func WithKeysMaxAge(age time.Duration) VerifierOption {
	return durationOption("WithKeysMaxAge", age, time.Minute, 30*24*time.Hour, func(c *verifierConfig) { c.keysMaxAge = age })
}

// introspectionLimit is how long an introspection may take, whatever it takes: whoever needs one has a caller of its own who waits.
func (c *verifierConfig) introspectionLimit() time.Duration { return max(time.Second, 2*c.bound) }

func durationOption(name string, value, least, most time.Duration, set func(*verifierConfig)) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if value < least || value > most {
			return fmt.Errorf("%s: %s is not within %s and %s", name, value, least, most)
		}
		set(c)
		return nil
	})
}

// WithTokenStore has opaque tokens be looked up in the issuer's token store before the issuer is asked, if the issuer lets services
// read it (docs/token-store.md). apiID is the id of the API that the verifier serves, "api_…". Records prove themselves: whoever can write
// to the store can make tokens be forgotten, and nothing else.
func WithTokenStore(records RecordReader, apiID string) VerifierOption {
	return storeOption("WithTokenStore", tokenStore{records: records, apiID: apiID})
}

// WithTokenStoreFor is [WithTokenStore] for another audience of the same verifier, see [Verifier.ForAudience].
func WithTokenStoreFor(audience string, records RecordReader, apiID string) VerifierOption {
	if audience == "" {
		return verifierOption(func(*verifierConfig) error { return errNoAudience })
	}
	return storeOption("WithTokenStoreFor", tokenStore{audience, records, apiID})
}

// tokenStore has the records for an audience; the empty one is the verifier's own.
type tokenStore struct {
	audience string
	records  RecordReader
	apiID    string
}

func storeOption(name string, s tokenStore) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if s.records == nil || s.apiID == "" {
			return fmt.Errorf("%s: a reader and the id of the API are both needed", name)
		}
		c.stores = append(c.stores, s)
		return nil
	})
}

// WithStateFile has the verifier keep the issuer's keys and revocations in a file, so that it can judge tokens after a restart while the
// issuer is down, within the grace. The file is not secret, but whoever can write to it can make tokens: it is written with mode 0600,
// and not read if it is somebody else's than this user's or root's, or if others may write to it.
func WithStateFile(path string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if path == "" {
			return errors.New("WithStateFile: the path is empty")
		}
		c.stateFile = path
		return nil
	})
}

// WithCacheSize sets how many tokens are remembered: 8 to 16,777,216, 16,384 by default. It is rounded up to a multiple of 8. One takes
// some 2 KiB.
func WithCacheSize(tokens int) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if tokens < 8 || tokens > 1<<24 {
			return fmt.Errorf("WithCacheSize: %d is not within 8 and %d", tokens, 1<<24)
		}
		c.cacheSize = tokens
		return nil
	})
}

// WithAlgorithms sets by which algorithms (RFC 7518, RFC 8037) JWTs may be signed, such as "ES256". By default it is every asymmetric one
// of ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512, EdDSA and Ed25519, each with keys that are for it.
func WithAlgorithms(names ...string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if len(names) == 0 {
			return errors.New("WithAlgorithms: at least one is needed")
		}
		c.algorithms = nil
		for _, name := range names {
			if !slices.Contains(jose.Algorithms(), jose.Algorithm(name)) {
				return fmt.Errorf("WithAlgorithms: %q is none of %s", name, jose.Algorithms())
			}
			c.algorithms = append(c.algorithms, jose.Algorithm(name))
		}
		return nil
	})
}

// WithLegacyTokens lets JWTs pass that are of typ JWT or of none, as issuers made them before RFC 9068: jti and iat may be missing, and
// the client is named by client_id, azp or sub. It also accepts introspection answers that name no audience, or no client but by sub.
// Other JWTs of the same issuer may then pass for access tokens, if their audience is the verifier's, and users for clients that are
// called as they are: use it only where the issuer leaves no choice.
func WithLegacyTokens() VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.legacy = true
		return nil
	})
}

// WithoutRevocation has the issuer's revocation feed be left alone. In mode [Available] a JWT is then good until it expires, whatever
// its issuer says, and so is a token that the token store knows; [Strict] introspects each time.
func WithoutRevocation() VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.noRevocation = true
		return nil
	})
}
