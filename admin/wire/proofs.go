package wire

// Proofs is what a client authenticates by beside secrets, and what its tokens are bound to, by the names of RFC 7591, RFC 8705 and RFC 9449.
// Which members there can be depends on its token_endpoint_auth_method.
type Proofs struct {
	JWKS       map[string]any `json:"jwks,omitempty" yaml:"jwks,omitempty" doc:"the client's public keys, a JWK set (RFC 7517), for private_key_jwt and self_signed_tls_client_auth"`
	JWKSURI    string         `json:"jwks_uri,omitempty" yaml:"jwks_uri,omitempty" doc:"where the key set is to be had by https, instead of jwks"`
	SigningAlg string         `json:"token_endpoint_auth_signing_alg,omitempty" yaml:"token_endpoint_auth_signing_alg,omitempty" enum:"ES256,RS256,PS256,EdDSA" doc:"the only algorithm of its assertions, for private_key_jwt; absent: any of these"`

	SubjectDN string `json:"tls_client_auth_subject_dn,omitempty" yaml:"tls_client_auth_subject_dn,omitempty" doc:"what its certificate says, for tls_client_auth: exactly one of the five"`
	SANDNS    string `json:"tls_client_auth_san_dns,omitempty" yaml:"tls_client_auth_san_dns,omitempty"`
	SANURI    string `json:"tls_client_auth_san_uri,omitempty" yaml:"tls_client_auth_san_uri,omitempty"`
	SANIP     string `json:"tls_client_auth_san_ip,omitempty" yaml:"tls_client_auth_san_ip,omitempty"`
	SANEmail  string `json:"tls_client_auth_san_email,omitempty" yaml:"tls_client_auth_san_email,omitempty"`

	Federation []FederationRule `json:"federation,omitempty" yaml:"federation,omitempty" maxItems:"32" doc:"the workloads that are this client, for federated_jwt, spiffe_jwt and spiffe_x509: one rule that matches is enough"`

	DPoPBound        bool `json:"dpop_bound_access_tokens,omitempty" yaml:"dpop_bound_access_tokens,omitempty" doc:"it gets no token that is not bound to a DPoP key (RFC 9449)"`
	CertificateBound bool `json:"tls_client_certificate_bound_access_tokens,omitempty" yaml:"tls_client_certificate_bound_access_tokens,omitempty" doc:"it gets no token that is not bound to its certificate (RFC 8705)"`
}

// FederationRule says which workloads of a trusted issuer are the client: those whose token has all of the claims.
type FederationRule struct {
	Issuer string       `json:"issuer" yaml:"issuer" doc:"a trusted issuer; its name may stand for its id"`
	Claims []ClaimMatch `json:"claims" yaml:"claims" minItems:"1" maxItems:"16"`
}

// ClaimMatch compares one claim, a string, as a whole or by its beginning. There are no patterns.
type ClaimMatch struct {
	Path   []string `json:"path" yaml:"path,flow" minItems:"1" maxItems:"8" doc:"name of the claim; of a claim within another, the names from the outside in"`
	Equals string   `json:"equals,omitempty" yaml:"equals,omitempty" maxLength:"1000"`
	Prefix string   `json:"prefix,omitempty" yaml:"prefix,omitempty" maxLength:"1000"`
}
