// Package wire holds the JSON of the admin API: what its server writes and its clients read. Times are RFC 3339 in UTC, durations are
// whole seconds, ids are text.
package wire

import "time"

// Base is the path under which the admin API is served, Audience the `resource` for which its access tokens are issued.
const (
	Base     = "/admin/v1"
	Audience = "urn:countersign:admin"
)

// List is a page of a list.
type List[T any] struct {
	Items      []T    `json:"items" doc:"the page"`
	NextCursor string `json:"next_cursor,omitempty" doc:"cursor of the next page; absent on the last"`
}

// Client is a service that calls others.
type Client struct {
	ID              string            `json:"client_id" doc:"the client_id of RFC 6749"`
	Name            string            `json:"name" doc:"unique among clients"`
	Description     string            `json:"description,omitempty"`
	Owner           string            `json:"owner,omitempty" doc:"who answers for it; for people and filters"`
	Labels          map[string]string `json:"labels,omitempty" doc:"for people and filters"`
	Status          string            `json:"status" enum:"active,disabled"`
	AuthMethod      string            `json:"token_endpoint_auth_method" enum:"client_secret_basic,client_secret_post,private_key_jwt,tls_client_auth,self_signed_tls_client_auth,federated_jwt,spiffe_jwt,spiffe_x509"`
	DefaultResource string            `json:"default_resource,omitempty" doc:"identifier of the API for which a token is asked when the request names none"`
	Proofs
	Thumbprints []string   `json:"jwks_thumbprints,omitempty" doc:"of the keys in jwks that can be used (RFC 7638)"`
	Created     time.Time  `json:"created_at"`
	Updated     time.Time  `json:"updated_at"`
	LastUsed    *time.Time `json:"last_used_at,omitempty" doc:"when it last authenticated, to the minute"`
}

// ClientBody is what of a client can be set.
type ClientBody struct {
	Name            string            `json:"name" minLength:"1" maxLength:"200" doc:"unique among clients" example:"orders"`
	Description     string            `json:"description,omitempty" maxLength:"2000"`
	Owner           string            `json:"owner,omitempty" maxLength:"200" example:"team-payments"`
	Labels          map[string]string `json:"labels,omitempty" doc:"at most 32"`
	AuthMethod      string            `json:"token_endpoint_auth_method,omitempty" enum:"client_secret_basic,client_secret_post,private_key_jwt,tls_client_auth,self_signed_tls_client_auth,federated_jwt,spiffe_jwt,spiffe_x509" default:"client_secret_basic"`
	DefaultResource string            `json:"default_resource,omitempty" doc:"identifier of an API that the client is granted; empty: none. The first grant sets it"`
	Proofs
}

// ClientPatch is a merge patch (RFC 7396) of a client: absent members stay, null takes a member back to its default.
type ClientPatch struct {
	Name            *string            `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description     *string            `json:"description,omitempty" nullable:"true" maxLength:"2000"`
	Owner           *string            `json:"owner,omitempty" nullable:"true" maxLength:"200"`
	Labels          map[string]*string `json:"labels,omitempty" nullable:"true" doc:"a label that is null is removed"`
	AuthMethod      *string            `json:"token_endpoint_auth_method,omitempty" nullable:"true" doc:"one of client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth, federated_jwt, spiffe_jwt and spiffe_x509. What belongs to the former method has to be null in the same patch"`
	DefaultResource *string            `json:"default_resource,omitempty" nullable:"true"`

	JWKS             map[string]any    `json:"jwks,omitempty" nullable:"true"`
	JWKSURI          *string           `json:"jwks_uri,omitempty" nullable:"true"`
	SigningAlg       *string           `json:"token_endpoint_auth_signing_alg,omitempty" nullable:"true" doc:"one of ES256, RS256, PS256 and EdDSA"`
	SubjectDN        *string           `json:"tls_client_auth_subject_dn,omitempty" nullable:"true"`
	SANDNS           *string           `json:"tls_client_auth_san_dns,omitempty" nullable:"true"`
	SANURI           *string           `json:"tls_client_auth_san_uri,omitempty" nullable:"true"`
	SANIP            *string           `json:"tls_client_auth_san_ip,omitempty" nullable:"true"`
	SANEmail         *string           `json:"tls_client_auth_san_email,omitempty" nullable:"true"`
	Federation       *[]FederationRule `json:"federation,omitempty" nullable:"true" maxItems:"32" doc:"the whole list"`
	DPoPBound        *bool             `json:"dpop_bound_access_tokens,omitempty" nullable:"true"`
	CertificateBound *bool             `json:"tls_client_certificate_bound_access_tokens,omitempty" nullable:"true"`

	RevokeTokens bool `json:"revoke_tokens,omitempty" doc:"take all of the client's tokens back, too. Without it those go on that it got by what is changed, until they expire"`
}

// ChangedClient answers a merge patch.
type ChangedClient struct {
	Client
	Hit
}

// Hit says how many tokens a change took back.
type Hit struct {
	Tokens int64 `json:"revoked_tokens" doc:"live tokens that were taken back"`
	Exact  bool  `json:"revoked_tokens_exact" doc:"false: there were more than are counted"`
}

// StatusChange answers the enabling or disabling of a client.
type StatusChange struct {
	Client Client `json:"client"`
	Hit
}

// Secret is one of a client's secrets, without its value.
type Secret struct {
	ID           string     `json:"secret_id"`
	Client       string     `json:"client_id"`
	Hint         string     `json:"hint,omitempty" doc:"the last four characters before the checksum"`
	Status       string     `json:"status" enum:"active,disabled,expired"`
	Imported     bool       `json:"imported,omitempty" doc:"its value was brought from outside"`
	Created      time.Time  `json:"created_at"`
	CreatedBy    string     `json:"created_by,omitempty" doc:"secret_id of the credential with which it was made"`
	Expires      *time.Time `json:"expires_at,omitempty"`
	FirstUsed    *time.Time `json:"first_used_at,omitempty"`
	LastUsed     *time.Time `json:"last_used_at,omitempty" doc:"to the minute"`
	LastUsedFrom string     `json:"last_used_from,omitempty" doc:"network address"`
	SafeToDelete bool       `json:"safe_to_delete" doc:"nobody can depend on it any more"`
	Why          string     `json:"safe_to_delete_reason,omitempty" doc:"why it is safe to delete, or why not yet"`
}

// SecretBody asks for a further secret.
type SecretBody struct {
	Expires *time.Time `json:"expires_at,omitempty" doc:"absent: never"`
	Value   string     `json:"value,omitempty" minLength:"16" maxLength:"256" doc:"a value from outside, stored as argon2id; absent: the server makes one, which is faster and safer"`
}

// RotationBody asks for a new secret in place of the others.
type RotationBody struct {
	Overlap *int64     `json:"overlap_seconds,omitempty" minimum:"0" maximum:"2592000" doc:"how long the other active secrets go on working; absent: 86400, a day"`
	Expires *time.Time `json:"expires_at,omitempty" doc:"of the new secret; absent: never"`
}

// SecretPatch is a merge patch of a secret.
type SecretPatch struct {
	Expires *time.Time `json:"expires_at" nullable:"true" doc:"null: never"`
}

// NewSecret is a secret with its value, which is shown this once.
type NewSecret struct {
	Secret
	Value    string   `json:"client_secret,omitempty" doc:"the value; absent from an answer that is repeated more than 10 minutes later"`
	Retiring []Secret `json:"retiring,omitempty" doc:"the secrets that go on working for the overlap"`
}

// DisableBody says why a secret is disabled.
type DisableBody struct {
	Compromised bool `json:"compromised,omitempty" doc:"somebody else may have it: its tokens are taken back, and the secrets that were made with it are disabled too"`
}

// SecretChange answers the enabling or disabling of a secret.
type SecretChange struct {
	Secret  Secret   `json:"secret"`
	Reached []string `json:"disabled_secrets,omitempty" doc:"secrets that were made with it and are disabled too"`
	Hit
}

// Scope is a scope that an API offers.
type Scope struct {
	Name        string `json:"name" minLength:"1" maxLength:"128" example:"inventory:read"`
	Description string `json:"description,omitempty" maxLength:"2000"`
}

// API is something that is called: a resource server.
type API struct {
	ID         string    `json:"api_id"`
	Identifier string    `json:"identifier" doc:"the audience of its tokens, the resource of RFC 8707"`
	Name       string    `json:"name"`
	Scopes     []Scope   `json:"scopes"`
	Format     string    `json:"token_format" enum:"jwt,opaque"`
	Lifetime   int64     `json:"token_lifetime_seconds" minimum:"60" maximum:"86400"`
	Algorithm  string    `json:"signing_algorithm" enum:"ES256,RS256,PS256,EdDSA"`
	Constraint string    `json:"sender_constraint,omitempty" enum:"any,dpop,mutual_tls" doc:"what its tokens have to be bound to: a DPoP key (RFC 9449), a client certificate (RFC 8705), or any of the two; absent: nothing"`
	Servers    []string  `json:"servers" doc:"client_id of those that serve it"`
	BuiltIn    bool      `json:"built_in,omitempty" doc:"one of Countersign's own, which can be granted but not changed"`
	Created    time.Time `json:"created_at"`
	Updated    time.Time `json:"updated_at"`
}

// APIBody is what of an API can be set.
type APIBody struct {
	Identifier string  `json:"identifier" maxLength:"500" doc:"an absolute URI without fragment; cannot be changed" example:"https://inventory.example"`
	Name       string  `json:"name" minLength:"1" maxLength:"200"`
	Scopes     []Scope `json:"scopes,omitempty" maxItems:"256"`
	Format     string  `json:"token_format,omitempty" enum:"jwt,opaque" default:"jwt"`
	Lifetime   int64   `json:"token_lifetime_seconds,omitempty" minimum:"60" maximum:"86400" default:"3600"`
	Algorithm  string  `json:"signing_algorithm,omitempty" enum:"ES256,RS256,PS256,EdDSA" default:"ES256"`
	Constraint string  `json:"sender_constraint,omitempty" enum:"any,dpop,mutual_tls" doc:"what its tokens have to be bound to: a DPoP key, a client certificate, or any of the two; absent: nothing"`
}

// APIPatch is a merge patch of an API.
type APIPatch struct {
	Name       *string  `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Scopes     *[]Scope `json:"scopes,omitempty" nullable:"true" maxItems:"256" doc:"the whole list. A scope that a grant holds cannot be left out"`
	Format     *string  `json:"token_format,omitempty" nullable:"true" doc:"one of jwt and opaque"`
	Lifetime   *int64   `json:"token_lifetime_seconds,omitempty" nullable:"true" minimum:"60" maximum:"86400"`
	Algorithm  *string  `json:"signing_algorithm,omitempty" nullable:"true" doc:"one of ES256, RS256, PS256 and EdDSA"`
	Constraint *string  `json:"sender_constraint,omitempty" nullable:"true" doc:"one of any, dpop and mutual_tls; null: none"`
}

// Grant lets a client call an API with some of its scopes.
type Grant struct {
	Client   string     `json:"client_id"`
	API      string     `json:"api_id"`
	Scopes   []string   `json:"scopes"`
	MayAct   string     `json:"may_act,omitempty" doc:"client_id of the only client that may exchange its tokens (RFC 8693 §4.4)"`
	Created  time.Time  `json:"created_at"`
	Updated  time.Time  `json:"updated_at"`
	LastUsed *time.Time `json:"last_used_at,omitempty" doc:"when a token was last issued under it, to the minute"`
	Tokens   int64      `json:"issued_tokens" doc:"how many were issued under it"`
}

// GrantBody says what a grant shall hold.
type GrantBody struct {
	Scopes []string `json:"scopes" minItems:"1" maxItems:"256" doc:"the whole list; tokens are taken back when it loses some"`
	MayAct string   `json:"may_act,omitempty" doc:"client_id of the only client that may exchange its tokens; absent: whoever has a grant to exchange them"`
}

// Token is an issued token, without what its bearer shows.
type Token struct {
	ID      string    `json:"jti"`
	Client  string    `json:"client_id"`
	Secret  string    `json:"secret_id,omitempty" doc:"with which it was asked for"`
	API     string    `json:"api_id"`
	Scope   string    `json:"scope"`
	Issued  time.Time `json:"issued_at"`
	Expires time.Time `json:"expires_at"`
	Status  string    `json:"status" enum:"active,expired,revoked"`
	// What follows is of tokens that are bound, were made by exchange, or cannot be exchanged by everybody.
	Binding   *Binding      `json:"cnf,omitempty" doc:"what its bearer proves to have"`
	Subject   string        `json:"sub,omitempty" doc:"client on whose behalf its client calls; absent: its own"`
	Actors    []string      `json:"actors,omitempty" doc:"clients that act for the subject, the current one first"`
	MayAct    string        `json:"may_act,omitempty" doc:"the only client that may exchange it"`
	RefusedBy *RefusedBy    `json:"refused_by,omitempty" doc:"the revocation that names it; of a single token alone"`
	Ancestors []TokenFormer `json:"ancestors,omitempty" doc:"tokens that it was made from by exchange, the nearest first; of a single token alone"`
}

// Binding is what a token is bound to, RFC 7800.
type Binding struct {
	JWK         string `json:"jkt,omitempty" doc:"thumbprint of a DPoP key, RFC 9449"`
	Certificate string `json:"x5t#S256,omitempty" doc:"hash of a client certificate, RFC 8705"`
}

// RefusedBy is a revocation as the feed has it.
type RefusedBy struct {
	Kind     string `json:"kind" enum:"token,client,grant,api,credential,key,all"`
	Sequence uint64 `json:"sequence,omitempty" doc:"of the entry in the revocation feed; absent: the API is gone"`
}

// TokenFormer is a token that another was made from.
type TokenFormer struct {
	ID        string     `json:"jti"`
	Client    string     `json:"client_id"`
	Secret    string     `json:"secret_id,omitempty"`
	Audience  string     `json:"aud" doc:"identifier of its API"`
	Key       string     `json:"kid,omitempty" doc:"that signed it; absent: it is opaque"`
	Scope     string     `json:"scope,omitempty" doc:"absent with issued_at and expires_at: it expired so long ago that no more is known"`
	Issued    *time.Time `json:"issued_at,omitempty"`
	Expires   *time.Time `json:"expires_at,omitempty"`
	Status    string     `json:"status" enum:"active,expired,revoked"`
	Binding   *Binding   `json:"cnf,omitempty"`
	RefusedBy *RefusedBy `json:"refused_by,omitempty"`
}

// RevocationBody names a set of tokens: exactly one of its members, or client_id and api_id together.
type RevocationBody struct {
	Client string `json:"client_id,omitempty" doc:"all tokens of a client"`
	API    string `json:"api_id,omitempty" doc:"all tokens for an API; with client_id, those of that client for it"`
	Secret string `json:"secret_id,omitempty" doc:"all tokens that were asked for with a secret"`
	Key    string `json:"kid,omitempty" doc:"all JWTs that a signing key signed; the key is withdrawn"`
	All    bool   `json:"all,omitempty" doc:"every token there is"`
}

// Revocation answers a revocation. Every token of the set that was issued before it is refused from now on.
type Revocation struct {
	Hit
	Sequence uint64 `json:"sequence" doc:"of the entry in the revocation feed"`
}

// Key is a signing key.
type Key struct {
	ID        string     `json:"kid"`
	Algorithm string     `json:"alg"`
	State     string     `json:"state" enum:"next,current,retired,revoked"`
	Created   time.Time  `json:"created_at"`
	ActiveAt  time.Time  `json:"active_at" doc:"from when it signs"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	SafeAt    *time.Time `json:"safe_to_drop_at,omitempty" doc:"from when no living token can need it"`
}

// KeyRotationBody asks for the next signing key.
type KeyRotationBody struct {
	Algorithm   string     `json:"alg" enum:"ES256,RS256,PS256,EdDSA" default:"ES256"`
	ActiveAt    *time.Time `json:"active_at,omitempty" doc:"from when it signs, at least 30 minutes ahead; absent: in 24 hours"`
	Compromised bool       `json:"compromised,omitempty" doc:"the current key is withdrawn and replaced at once: all that it signed is refused"`
}

// LeakBody reports a value that was found where it should not be.
type LeakBody struct {
	Value string `json:"value" minLength:"1" maxLength:"8192" doc:"a client secret or an access token"`
}

// Leak answers a report.
type Leak struct {
	Kind    string   `json:"kind" enum:"secret,token,unknown" doc:"what the value was; unknown: nothing of this server"`
	Client  string   `json:"client_id,omitempty"`
	Secret  string   `json:"secret_id,omitempty"`
	Token   string   `json:"jti,omitempty"`
	Reached []string `json:"disabled_secrets,omitempty" doc:"secrets that were made with the leaked one and are disabled too"`
	Hit
}
