package wire

import "time"

// DocumentVersion is the version of the declarative configuration's form.
const DocumentVersion = "countersign/v1"

// Document is the declarative configuration: the APIs, trusted issuers and clients that shall exist. It is written as YAML or JSON.
type Document struct {
	Version string       `json:"version" yaml:"version" enum:"countersign/v1"`
	APIs    []APIDecl    `json:"apis,omitempty" yaml:"apis,omitempty"`
	Issuers []IssuerDecl `json:"trusted_issuers,omitempty" yaml:"trusted_issuers,omitempty"`
	Clients []ClientDecl `json:"clients,omitempty" yaml:"clients,omitempty"`
}

// APIDecl declares an API. It is known by its identifier.
type APIDecl struct {
	ID         string   `json:"api_id,omitempty" yaml:"api_id,omitempty" doc:"only looked at when the API is made, so that a system can be made anew with the same ids"`
	Identifier string   `json:"identifier" yaml:"identifier"`
	Name       string   `json:"name" yaml:"name"`
	Scopes     []Scope  `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	Format     string   `json:"token_format,omitempty" yaml:"token_format,omitempty" enum:"jwt,opaque"`
	Lifetime   int64    `json:"token_lifetime_seconds,omitempty" yaml:"token_lifetime_seconds,omitempty" minimum:"60" maximum:"86400"`
	Algorithm  string   `json:"signing_algorithm,omitempty" yaml:"signing_algorithm,omitempty" enum:"ES256,RS256,PS256,EdDSA"`
	Constraint string   `json:"sender_constraint,omitempty" yaml:"sender_constraint,omitempty" enum:"any,dpop,mutual_tls"`
	Servers    []string `json:"servers,omitempty" yaml:"servers,omitempty" doc:"names of the clients that serve it"`
}

// IssuerDecl declares a trusted issuer. It is known by its name.
type IssuerDecl struct {
	ID     string `json:"trusted_issuer_id,omitempty" yaml:"trusted_issuer_id,omitempty" doc:"only looked at when the issuer is made"`
	Name   string `json:"name" yaml:"name"`
	Issuer string `json:"issuer" yaml:"issuer"`
	Kind   string `json:"kind,omitempty" yaml:"kind,omitempty" enum:"oidc,spiffe"`

	TrustedIssuerKeys `yaml:",inline"`

	Audience    string   `json:"audience,omitempty" yaml:"audience,omitempty"`
	Algorithms  []string `json:"algorithms,omitempty" yaml:"algorithms,omitempty,flow"`
	MaxLifetime int64    `json:"max_lifetime_seconds,omitempty" yaml:"max_lifetime_seconds,omitempty" minimum:"60" maximum:"86400"`
	Replay      string   `json:"replay,omitempty" yaml:"replay,omitempty" enum:"once,reusable"`
	Disabled    *bool    `json:"disabled,omitempty" yaml:"disabled,omitempty" doc:"absent: it stays what it is"`
}

// ClientDecl declares a client. It is known by its name.
type ClientDecl struct {
	ID          string            `json:"client_id,omitempty" yaml:"client_id,omitempty" doc:"only looked at when the client is made"`
	Name        string            `json:"name" yaml:"name"`
	Description string            `json:"description,omitempty" yaml:"description,omitempty"`
	Owner       string            `json:"owner,omitempty" yaml:"owner,omitempty"`
	Labels      map[string]string `json:"labels,omitempty" yaml:"labels,omitempty"`
	Disabled    *bool             `json:"disabled,omitempty" yaml:"disabled,omitempty" doc:"absent: it stays what it is"`
	AuthMethod  string            `json:"token_endpoint_auth_method,omitempty" yaml:"token_endpoint_auth_method,omitempty" enum:"client_secret_basic,client_secret_post,private_key_jwt,tls_client_auth,self_signed_tls_client_auth,federated_jwt,spiffe_jwt,spiffe_x509"`

	Proofs `yaml:",inline"`

	DefaultResource *string        `json:"default_resource,omitempty" yaml:"default_resource,omitempty" doc:"identifier of an API that it is granted; empty: none; absent: what it is, or what its first grant makes it"`
	Grants          []GrantDecl    `json:"grants,omitempty" yaml:"grants,omitempty"`
	Exchanges       []ExchangeDecl `json:"exchanges,omitempty" yaml:"exchanges,omitempty"`
	Secret          *SecretDecl    `json:"secret,omitempty" yaml:"secret,omitempty"`
}

// GrantDecl declares a grant.
type GrantDecl struct {
	API    string   `json:"api" yaml:"api" doc:"identifier of the API"`
	Scopes []string `json:"scopes" yaml:"scopes"`
	MayAct string   `json:"may_act,omitempty" yaml:"may_act,omitempty" doc:"name of the only client that may exchange its tokens"`
}

// ExchangeDecl declares a grant to exchange tokens.
type ExchangeDecl struct {
	Source string          `json:"source" yaml:"source" doc:"identifier of the API that the exchanged tokens are for"`
	Target string          `json:"target" yaml:"target" doc:"identifier of the API that the new tokens are for"`
	Scopes []ExchangeScope `json:"scopes" yaml:"scopes"`
}

// SecretDecl declares that a client shall have a secret. Values never stand in a document: one of the two names a file, which the command
// line reads or writes.
type SecretDecl struct {
	// Value is what the command line read from the file that `value_file` names in YAML. Over the API it is sent here.
	Value     string `json:"value,omitempty" yaml:"-" doc:"a value from outside, that the client shall have"`
	ValueFile string `json:"-" yaml:"value_file,omitempty"`
	// Generate asks for a secret to be made if the client has none that can be used; `generate_file` in YAML names where it goes.
	Generate     bool   `json:"generate,omitempty" yaml:"-" doc:"make a secret unless the client has one that can be used"`
	GenerateFile string `json:"-" yaml:"generate_file,omitempty"`
}

// ApplyBody asks for a document to be applied.
type ApplyBody struct {
	Document Document `json:"document"`
	DryRun   bool     `json:"dry_run,omitempty" doc:"answer the plan and change nothing"`
	Prune    bool     `json:"prune,omitempty" doc:"remove APIs, clients and grants that the document does not name"`
	Digest   string   `json:"digest,omitempty" doc:"of the plan that was shown: anything else is not carried out (412)"`
}

// Plan is what applying a document changes.
type Plan struct {
	Digest  string       `json:"digest"`
	Steps   []PlanStep   `json:"steps"`
	Applied bool         `json:"applied"`
	Secrets []MadeSecret `json:"secrets,omitempty" doc:"the secrets that were made, shown this once"`
	At      time.Time    `json:"at"`
}

// PlanStep is one change.
type PlanStep struct {
	Verb   string      `json:"verb" enum:"add,change,remove"`
	Kind   string      `json:"kind" enum:"api,trusted_issuer,client,grant,exchange,server,secret"`
	Name   string      `json:"name" doc:"such as the client's name, or client → API"`
	Fields []PlanField `json:"fields,omitempty"`
}

// PlanField is one member that changes.
type PlanField struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// MadeSecret is a secret that applying a document made.
type MadeSecret struct {
	Client string `json:"client_id"`
	Name   string `json:"name"`
	Secret string `json:"secret_id"`
	Value  string `json:"client_secret,omitempty"`
}
