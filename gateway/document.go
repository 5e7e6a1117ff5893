package gateway

import (
	"time"

	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/lb"
)

// Document is the configuration of a gateway, one YAML file. Members that are left out have the default given with them.
type Document struct {
	Listeners []Listener                 `yaml:"listeners" required:"true" help:"where the gateway listens"`
	Admin     Admin                      `yaml:"admin" help:"health, metrics and status, for operators only"`
	Issuers   map[string]Issuer          `yaml:"issuers" help:"the authorization servers whose tokens are accepted, by a name of your choice"`
	Pools     map[string]lb.PoolSettings `yaml:"pools" help:"the upstreams that serve the same requests, by a name of your choice"`
	Routes    []Route                    `yaml:"routes" required:"true" help:"which requests go where, and who may make them; what no route names is 404"`
	Resources []Resource                 `yaml:"resources" help:"the APIs whose metadata the gateway publishes (RFC 9728), so that clients find out whom to ask for tokens"`
	Bound     BoundTokens                `yaml:"bound_tokens" help:"how callers show that they have what a token is bound to (RFC 9449, RFC 8705)"`
	Paths     Paths                      `yaml:"paths" help:"what is done with paths that servers read in different ways"`
	RateLimit RateLimitStore             `yaml:"rate_limit" help:"where requests are counted for the limits of the routes"`
	AccessLog AccessLog                  `yaml:"access_log" help:"one line of JSON for each request, on standard error"`
	Drain     listeners.DrainSettings    `yaml:"drain" help:"how the gateway ends"`
	LogLevel  string                     `yaml:"log_level" default:"info" oneof:"debug|info|warn|error" help:"from which level on lines are logged"`
}

// Listener is an address at which the gateway accepts connections.
type Listener struct {
	listeners.Settings

	ClientCertificates string `yaml:"client_certificates" default:"none" oneof:"none|request" help:"request: ask for a certificate, of any authority or none, for tokens that are bound to it; only with tls"`

	Serves string `yaml:"serves" default:"routes" oneof:"routes|authorization" help:"the routes, or decisions for other proxies under /authorize"`
}

// Admin is the listener for operators.
type Admin struct {
	Address string `yaml:"address" help:"host:port of /healthz, /readyz, /metrics and /status; without it there is none"`
}

// Issuer is an authorization server.
type Issuer struct {
	URL          string        `yaml:"url" required:"true" help:"the issuer, exactly as tokens name it (iss); https, or http on loopback"`
	Addresses    []string      `yaml:"addresses" help:"origins by which it is reached, if not by the issuer's own"`
	CA           string        `yaml:"ca" help:"PEM file with the authorities that its certificate may be from; else the machine's"`
	ClientID     string        `yaml:"client_id" help:"as which client the gateway introspects and follows revocations"`
	ClientSecret string        `yaml:"client_secret" secret:"true" help:"its secret; better in a file"`
	SecretFile   string        `yaml:"client_secret_file" help:"file with its secret, read again when it changes"`
	KeyFile      string        `yaml:"client_key_file" help:"file with its private key, in place of a secret (private_key_jwt); read again when it changes"`
	Assertion    string        `yaml:"client_assertion_file" help:"file with a JWT of an issuer that the server trusts, in place of a secret, such as a Kubernetes service account's; read again when it changes"`
	Bound        time.Duration `yaml:"bound" default:"1s" min:"100ms" max:"1m" help:"how long after its revocation a strict route may still accept a token"`
	Grace        time.Duration `yaml:"grace" default:"15m" max:"24h" help:"for how long available routes go on while nothing is heard of revocations"`
	Leeway       time.Duration `yaml:"leeway" default:"1m" max:"5m" help:"by how much clocks may differ"`
	KeysMaxAge   time.Duration `yaml:"keys_max_age" default:"24h" min:"1m" max:"720h" help:"for how long keys are used after they were last fetched"`
	Timeout      time.Duration `yaml:"timeout" default:"5s" min:"100ms" max:"1m" help:"of one request to it"`
	CacheSize    int           `yaml:"cache_size" default:"16384" min:"8" max:"16777216" help:"how many tokens are remembered, of some 2 KiB each"`
	Algorithms   []string      `yaml:"algorithms" help:"by which JWTs may be signed, such as ES256; by default every asymmetric one"`
	StateFile    string        `yaml:"state_file" help:"where keys and revocations are kept, so that the gateway can restart while the issuer is down"`
	TokenStore   *TokenStore   `yaml:"token_store" help:"look opaque tokens up in the issuer's Redis before it is asked (docs/token-store.md)"`
	Revocation   string        `yaml:"revocation" default:"feed" oneof:"feed|none" help:"follow the issuer's revocation feed, or leave it alone"`
	Signed       bool          `yaml:"signed_introspection" help:"believe signed answers to introspection alone (RFC 9701)"`
	Constrained  string        `yaml:"sender_constrained" default:"optional" oneof:"optional|required" help:"required: only tokens that are bound to a key or certificate of the caller's"`
	LegacyTokens bool          `yaml:"legacy_tokens" help:"accept JWTs of typ JWT or none (not RFC 9068), where the issuer leaves no choice"`
}

// TokenStore is the Redis in which an issuer lets services look up opaque tokens.
type TokenStore struct {
	Redis     string            `yaml:"redis" secret:"true" help:"redis://user:password@host:port/db; better in a file"`
	RedisFile string            `yaml:"redis_file" help:"file with that URL"`
	APIs      map[string]string `yaml:"apis" required:"true" help:"ids of APIs (api_…), by their identifiers, which are the audiences of routes"`
}

// Resource is an API whose metadata is published, RFC 9728 §2.
type Resource struct {
	Audience       string   `yaml:"audience" required:"true" help:"the API's identifier, as in its routes: the https URL under which clients reach it, without query"`
	Name           string   `yaml:"name" help:"its name, for people"`
	Scopes         []string `yaml:"scopes" help:"scopes that callers may need; left out: those that its routes ask for"`
	Documentation  string   `yaml:"documentation" help:"URL of a page for developers"`
	Policy         string   `yaml:"policy" help:"URL of a page that says how its data may be used"`
	TermsOfService string   `yaml:"terms_of_service" help:"URL of its terms"`
}

// BoundTokens say how tokens are judged that are bound to a key or a certificate.
type BoundTokens struct {
	ClientCertFrom []string `yaml:"client_cert_from" help:"addresses or networks in CIDR notation of proxies that end TLS, whose header Client-Cert (RFC 9440) is believed; none by default"`
	NonceKeyFile   string   `yaml:"dpop_nonce_key_file" help:"file with at least 32 bytes, the same for all gateways: DPoP proofs then need a nonce that is made with it"`
	Redis          string   `yaml:"redis" secret:"true" help:"redis://host:port/db: gateways share which DPoP proofs were used; without it each goes by what it has seen"`
	RedisFile      string   `yaml:"redis_file" help:"file with that URL"`
}

// RateLimitStore is where requests are counted.
type RateLimitStore struct {
	Redis     string `yaml:"redis" secret:"true" help:"redis://host:port/db: gateways count together; without it each counts by itself"`
	RedisFile string `yaml:"redis_file" help:"file with that URL"`
}

// AccessLog is the log of requests.
type AccessLog struct {
	Disabled bool `yaml:"disabled" help:"log no requests but those that fail on the gateway's side"`
}
