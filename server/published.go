package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// serverMetadata is the authorization server metadata of RFC 8414 §2.
type serverMetadata struct {
	Issuer                  string            `json:"issuer"`
	Token                   string            `json:"token_endpoint"`
	TokenMethods            []string          `json:"token_endpoint_auth_methods_supported"`
	TokenAlgorithms         []auth.Algorithm  `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	GrantTypes              []string          `json:"grant_types_supported"`
	ResponseTypes           []string          `json:"response_types_supported"`
	JWKS                    string            `json:"jwks_uri"`
	Introspection           string            `json:"introspection_endpoint"`
	IntrospectionMethods    []string          `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionSigning    []string          `json:"introspection_signing_alg_values_supported"`
	Revocation              string            `json:"revocation_endpoint"`
	RevocationMethods       []string          `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAlgorithms []auth.Algorithm  `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationAlgorithms    []auth.Algorithm  `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	DPoPAlgorithms          []jose.Algorithm  `json:"dpop_signing_alg_values_supported"`
	CertificateBound        bool              `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	Aliases                 map[string]string `json:"mtls_endpoint_aliases,omitempty"`
	Feed                    string            `json:"countersign_revocation_endpoint,omitempty"`
	StoreKeys               []storeKey        `json:"countersign_token_store_keys,omitempty"`
	Documentation           string            `json:"service_documentation"`
}

// storeKey is a key by which services check records of the token store.
type storeKey struct {
	Version uint32 `json:"version"`
	Key     string `json:"key"` // Ed25519, base64url without padding
}

// document is a published answer, the same for everybody.
type document struct {
	body      []byte
	etag      string
	mediaType string
	maxAge    time.Duration
}

const metadataMaxAge = 5 * time.Minute

// guide is the page for those who write clients.
const guide = "https://github.com/countersign/countersign/blob/main/docs/endpoints.md"

// metadata serves RFC 8414 §3.2. It is made anew each time: the token store's keys come and go.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) error {
	d, err := s.newMetadata()
	if err != nil {
		return err
	}
	return d.serve(w, r)
}

func (s *Server) newMetadata() (*document, error) {
	methods, algorithms := s.methods()
	m := serverMetadata{
		Issuer: s.config.Issuer,
		Token:  s.base + tokenPath, TokenMethods: methods, GrantTypes: s.issuer.GrantTypes(),
		// There is no authorization endpoint, but the member is required (§2) and must not be empty (§3.2).
		ResponseTypes: []string{"none"},
		JWKS:          s.base + jwksPath,
		Introspection: s.base + introspectPath,
		// RFC 8414 §2 lets this endpoint alone name a token type beside the methods.
		IntrospectionMethods: append(slices.Clip(methods), "Bearer"),
		IntrospectionSigning: signingAlgorithms(),
		Revocation:           s.base + revokePath, RevocationMethods: methods,
		StoreKeys: s.storeKeys(), Documentation: guide,
	}
	m.TokenAlgorithms, m.IntrospectionAlgorithms, m.RevocationAlgorithms = algorithms, algorithms, algorithms
	m.DPoPAlgorithms, m.CertificateBound = proof.Algorithms(), s.config.MutualTLS
	if s.config.Feed != nil {
		m.Feed = s.base + feedPath
	}
	if s.alias != "" {
		m.Aliases = map[string]string{
			"token_endpoint": s.alias + tokenPath, "introspection_endpoint": s.alias + introspectPath, "revocation_endpoint": s.alias + revokePath,
		}
		if m.Feed != "" {
			m.Aliases["countersign_revocation_endpoint"] = s.alias + feedPath
		}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	sum := sha256.Sum256(body)
	return &document{
		body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`,
		mediaType: "application/json", maxAge: metadataMaxAge,
	}, nil
}

func signingAlgorithms() (names []string) {
	for _, alg := range auth.Algorithms() {
		names = append(names, string(alg))
	}
	return names
}

// methods returns how clients may authenticate, and by which algorithms they, or those who vouch for them, sign.
func (s *Server) methods() (methods []string, algorithms []auth.Algorithm) {
	for _, m := range auth.Methods() {
		switch {
		case m == auth.FederatedJWT: // a name of the registry's own; for who authenticates it is private_key_jwt (RFC 7523 §2.2), which is listed
		case m.BySecret(), m.ByCertificate() && s.config.MutualTLS:
			methods = append(methods, string(m))
		case !m.ByCertificate() && s.config.Authenticator.Assertions != nil:
			methods = append(methods, string(m))
			algorithms = auth.Algorithms()
		}
	}
	return methods, algorithms
}

// storeKeys returns the token store's public keys in the order of their versions.
func (s *Server) storeKeys() (published []storeKey) {
	if s.config.StoreKeys == nil {
		return nil
	}
	public := s.config.StoreKeys()
	for _, version := range slices.Sorted(maps.Keys(public)) {
		published = append(published, storeKey{version, base64.RawURLEncoding.EncodeToString(public[version])})
	}
	return published
}

// jwks serves the JWK set, RFC 7517 §5.
func (s *Server) jwks(w http.ResponseWriter, r *http.Request) error {
	set := s.config.Keys.JWKS()
	d := document{body: set.Body, etag: set.ETag, mediaType: "application/jwk-set+json", maxAge: keys.JWKSMaxAge}
	return d.serve(w, r)
}

// serve answers with the document, or with 304 to a caller that has it (RFC 9110 §13.1.2).
func (d *document) serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(d.maxAge/time.Second), 10))
	h.Set("ETag", d.etag)
	if matches(r.Header["If-None-Match"], d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", d.mediaType)
	_, _ = w.Write(d.body) // who has gone cannot be told
	return nil
}

func matches(headers []string, etag string) bool {
	for _, header := range headers {
		for given := range strings.SplitSeq(header, ",") {
			given = strings.TrimSpace(given)
			if given == "*" || strings.TrimPrefix(given, "W/") == etag {
				return true
			}
		}
	}
	return false
}
