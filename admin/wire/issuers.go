package wire

import "time"

// TrustedIssuer signs the tokens of workloads, by which those are clients (RFC 7523 §2.2): a Kubernetes cluster, GitHub Actions, any OpenID provider, or
// a SPIFFE trust domain.
type TrustedIssuer struct {
	ID     string `json:"trusted_issuer_id"`
	Name   string `json:"name" doc:"unique among trusted issuers"`
	Issuer string `json:"issuer" doc:"the iss of its tokens, compared byte for byte; of a trust domain spiffe://NAME" example:"https://token.actions.githubusercontent.com"`
	Kind   string `json:"kind" enum:"oidc,spiffe"`
	TrustedIssuerKeys
	Thumbprints []string  `json:"jwks_thumbprints,omitempty" doc:"of the keys in jwks that can be used (RFC 7638)"`
	Audience    string    `json:"audience,omitempty" doc:"the aud that its tokens must have; absent: the issuer identifier of this server"`
	Algorithms  []string  `json:"algorithms"`
	MaxLifetime int64     `json:"max_lifetime_seconds" minimum:"60" maximum:"86400"`
	Replay      string    `json:"replay" enum:"once,reusable"`
	Status      string    `json:"status" enum:"active,disabled"`
	Created     time.Time `json:"created_at"`
	Updated     time.Time `json:"updated_at"`
}

// TrustedIssuerKeys say where an issuer's keys are to be had.
type TrustedIssuerKeys struct {
	JWKS    map[string]any `json:"jwks,omitempty" yaml:"jwks,omitempty" doc:"its keys, a JWK set; of a trust domain its trust bundle. Without jwks and jwks_uri they are found by OpenID Connect Discovery"`
	JWKSURI string         `json:"jwks_uri,omitempty" yaml:"jwks_uri,omitempty" doc:"where they are to be had by https, instead"`
}

// TrustedIssuerBody is what of a new trusted issuer can be set.
type TrustedIssuerBody struct {
	Name   string `json:"name" minLength:"1" maxLength:"200" doc:"unique among trusted issuers" example:"github"`
	Issuer string `json:"issuer" maxLength:"500" doc:"the iss of its tokens; of a trust domain spiffe://NAME. Cannot be changed" example:"https://token.actions.githubusercontent.com"`
	Kind   string `json:"kind,omitempty" enum:"oidc,spiffe" default:"oidc" doc:"cannot be changed"`
	TrustedIssuerKeys
	Audience    string   `json:"audience,omitempty" maxLength:"500" doc:"the aud that its tokens must have; absent: the issuer identifier of this server"`
	Algorithms  []string `json:"algorithms,omitempty" maxItems:"10" enum:"ES256,ES384,ES512,RS256,RS384,RS512,PS256,PS384,PS512,EdDSA" doc:"that its tokens may be signed by; absent: ES256 and RS256"`
	MaxLifetime int64    `json:"max_lifetime_seconds,omitempty" minimum:"60" maximum:"86400" default:"3600" doc:"how far ahead its tokens may expire"`
	Replay      string   `json:"replay,omitempty" enum:"once,reusable" doc:"once: a token has a jti, and is good for one use; reusable: until it expires. Absent: once, and reusable for a trust domain"`
	Status      string   `json:"status,omitempty" enum:"active,disabled" default:"active"`
}

// TrustedIssuerPatch is a merge patch of a trusted issuer.
type TrustedIssuerPatch struct {
	Name         *string        `json:"name,omitempty" minLength:"1" maxLength:"200"`
	JWKS         map[string]any `json:"jwks,omitempty" nullable:"true"`
	JWKSURI      *string        `json:"jwks_uri,omitempty" nullable:"true"`
	Audience     *string        `json:"audience,omitempty" nullable:"true" maxLength:"500"`
	Algorithms   *[]string      `json:"algorithms,omitempty" nullable:"true" maxItems:"10" doc:"the whole list, of ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512 and EdDSA"`
	MaxLifetime  *int64         `json:"max_lifetime_seconds,omitempty" nullable:"true" minimum:"60" maximum:"86400"`
	Replay       *string        `json:"replay,omitempty" nullable:"true" doc:"one of once and reusable"`
	Status       *string        `json:"status,omitempty" nullable:"true" doc:"one of active and disabled. disabled takes all tokens of the clients back that have a rule for it"`
	RevokeTokens bool           `json:"revoke_tokens,omitempty" doc:"take all tokens of the clients back that have a rule for it. Without it those go on that they got by what is narrowed, until they expire"`
}

// ChangedTrustedIssuer answers a merge patch.
type ChangedTrustedIssuer struct {
	TrustedIssuer
	Hit
}

// Exchange lets a client exchange the tokens that it is called with, which are for one API, for tokens for another (RFC 8693).
type Exchange struct {
	Client  string          `json:"client_id"`
	Source  string          `json:"source_api" doc:"api_id of what the tokens are for that it is called with"`
	Target  string          `json:"target_api" doc:"api_id of what it calls in turn"`
	Scopes  []ExchangeScope `json:"scopes"`
	Created time.Time       `json:"created_at"`
	Updated time.Time       `json:"updated_at"`
}

// ExchangeScope is a scope of the target that may be given to whoever has a scope of the source.
type ExchangeScope struct {
	Scope string `json:"scope" yaml:"scope" doc:"of the target"`
	Needs string `json:"needs,omitempty" yaml:"needs,omitempty" doc:"scope of the source that the exchanged token must have; absent: the one of the same name"`
}

// ExchangeBody says what may be exchanged.
type ExchangeBody struct {
	Scopes []ExchangeScope `json:"scopes" minItems:"1" maxItems:"256" doc:"the whole list; the client's tokens for the target are taken back when it loses some"`
}
