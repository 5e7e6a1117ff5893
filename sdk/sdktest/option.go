package sdktest

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Option is an option of [Start] and [New].
type Option func(*config)

type config struct {
	url       string // empty: the listener's, or memoryURL
	path      string
	algorithm Algorithm
	opaque    bool
	foreign   bool
	openID    bool
	tls       bool
	expired   bool
	lifetime  time.Duration
	maxAge    time.Duration
	heartbeat time.Duration
	methods   []string // nil: the usual ones
	audience  string
	scopes    []string
	storeKeys bool
	nonces    bool // of DPoP

	withoutDPoP bool
	introspect  time.Duration // countersign_max_age_ms and max-age; 0: not said
}

// memoryURL is the issuer identifier of one without a listener, defaultAudience that of an API. The names are reserved, RFC 6761 §6.2.
const (
	memoryURL       = "https://issuer.test"
	defaultAudience = "https://api.test"
	notGiven        = time.Duration(-1)
)

func newConfig(opts []Option) config {
	c := config{
		algorithm: ES256, lifetime: time.Hour, maxAge: 5 * time.Minute, heartbeat: 15 * time.Second, introspect: notGiven,
		audience: defaultAudience,
	}
	for _, opt := range opts {
		opt(&c)
	}
	if c.methods == nil {
		c.methods = []string{methodBasic, methodPost, methodPrivateKey, methodSPIFFE}
		if c.tls {
			c.methods = append(c.methods, methodTLS, methodSelfSigned)
		}
	}
	switch {
	case c.introspect != notGiven:
	case c.foreign:
		c.introspect = 0
	default:
		c.introspect = time.Second
	}
	return c
}

// WithURL sets the issuer identifier, an absolute URL without a slash at its end. It need not be where the issuer listens: [Issuer.Address]
// is that. Anything but a URL panics.
func WithURL(identifier string) Option {
	u, err := url.Parse(identifier)
	if err != nil || u.Host == "" {
		panic(fmt.Sprintf("sdktest: WithURL(%q): not an absolute URL", identifier))
	}
	return func(c *config) {
		c.path = strings.TrimSuffix(u.EscapedPath(), "/")
		c.url = strings.TrimSuffix(identifier, u.EscapedPath())
	}
}

// WithPath gives the issuer identifier this path, such as "/tenant". Metadata is then where RFC 8414 §3.1 has it, between host and path.
func WithPath(path string) Option { return func(c *config) { c.path = path } }

// WithAlgorithm sets what JWTs are signed with: ES256 unless given.
func WithAlgorithm(a Algorithm) Option { return func(c *config) { c.algorithm = a } }

// WithOpaqueTokens has the token endpoint issue opaque tokens in place of JWTs.
func WithOpaqueTokens() Option { return func(c *config) { c.opaque = true } }

// WithoutFeed makes the issuer one that is not Countersign: no revocation feed, and nothing else that the standards do not have. Opaque
// tokens have no prefix, tokens no cs_rev and cs_sec, introspection says nothing of how long its answer holds.
func WithoutFeed() Option { return func(c *config) { c.foreign = true } }

// WithOpenIDConfiguration has the issuer publish its metadata as OpenID Connect does and not otherwise: at /.well-known/openid-configuration
// after the issuer's path.
func WithOpenIDConfiguration() Option { return func(c *config) { c.openID = true } }

// WithLifetime sets how long tokens live: 1 h unless given. Parts of a second are cut off.
func WithLifetime(d time.Duration) Option { return func(c *config) { c.lifetime = d } }

// WithMaxAge sets for how long metadata and key set may be cached: 5 min unless given. 0: nothing is said.
func WithMaxAge(d time.Duration) Option { return func(c *config) { c.maxAge = d } }

// WithIntrospectionMaxAge sets for how long an answer of introspection says that it may be used: 1 s unless given. 0: nothing is said,
// as by an issuer [WithoutFeed] unless given.
func WithIntrospectionMaxAge(d time.Duration) Option { return func(c *config) { c.introspect = d } }

// WithHeartbeat sets for how long a stream is silent at most: 15 s unless given.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithAuthMethods sets by which methods clients may authenticate: client_secret_basic, client_secret_post, private_key_jwt and spiffe_jwt
// unless given, and with [WithTLS] tls_client_auth and self_signed_tls_client_auth. None: the metadata does not say, and
// client_secret_basic is the only one (RFC 8414 §2).
func WithAuthMethods(methods ...string) Option {
	return func(c *config) { c.methods = append([]string{}, methods...) }
}

// WithDefaults sets what a token is for whose request names no resource or no scopes: https://api.test and none unless given.
func WithDefaults(audience string, scopes ...string) Option {
	return func(c *config) { c.audience, c.scopes = audience, scopes }
}

// WithTokenStore publishes the key of the shared token store in the metadata; see [Issuer.Record].
func WithTokenStore() Option { return func(c *config) { c.storeKeys = true } }

// WithTLS has the issuer listen by https, with a certificate that [Issuer.Client] trusts.
func WithTLS() Option { return func(c *config) { c.tls = true } }

// WithExpiredCertificate is [WithTLS] with a certificate whose time is over. Without a listener every request fails as if.
func WithExpiredCertificate() Option { return func(c *config) { c.tls, c.expired = true, true } }
