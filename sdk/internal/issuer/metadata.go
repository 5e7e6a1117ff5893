package issuer

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/countersign/countersign/sdk/strictjson"
)

// MetadataLimit is how many bytes metadata may have.
const MetadataLimit = 256 << 10

// Metadata is what the server publishes about itself (RFC 8414 §2), as far as it is used. What it does not name is empty. It is shared
// and must not be changed.
type Metadata struct {
	Issuer                  string
	TokenEndpoint           string
	TokenMethods            []string
	TokenAlgorithms         []string // of client assertions, and so below
	IntrospectionEndpoint   string
	IntrospectionMethods    []string
	IntrospectionAlgorithms []string
	RevocationEndpoint      string
	RevocationMethods       []string
	RevocationAlgorithms    []string
	JWKSURI                 string
	// DPoPAlgorithms are those of DPoP proofs that are taken, RFC 9449 §5.1.
	DPoPAlgorithms []string
	// RevocationFeed is countersign_revocation_endpoint: where a Countersign server tells which tokens were taken back.
	RevocationFeed string
	// StoreKeys are countersign_token_store_keys, those that are good.
	StoreKeys []StoreKey

	aliases aliases
}

// StoreKey is a key that signs records of the token store.
type StoreKey struct {
	Version uint32
	Key     ed25519.PublicKey
}

// ParseMetadata reads the metadata of the issuer of this identifier. An endpoint that may not be asked is an error, and so is another
// issuer: equal means equal byte for byte (RFC 8414 §3.3).
func ParseMetadata(text []byte, identifier string) (*Metadata, error) {
	var m Metadata
	if err := strictjson.Object(text, m.member); err != nil {
		return nil, err
	}
	if m.Issuer != identifier {
		return nil, fmt.Errorf("it is of issuer %q, not of %q; they must be equal byte for byte", cut(m.Issuer), identifier)
	}
	for _, endpoint := range []struct{ name, url string }{
		{"token_endpoint", m.TokenEndpoint},
		{"introspection_endpoint", m.IntrospectionEndpoint},
		{"revocation_endpoint", m.RevocationEndpoint},
		{"jwks_uri", m.JWKSURI},
		{"countersign_revocation_endpoint", m.RevocationFeed},
		{"mtls_endpoint_aliases: token_endpoint", m.aliases.token},
		{"mtls_endpoint_aliases: introspection_endpoint", m.aliases.introspection},
		{"mtls_endpoint_aliases: revocation_endpoint", m.aliases.revocation},
		{"mtls_endpoint_aliases: countersign_revocation_endpoint", m.aliases.feed},
	} {
		if err := checkEndpoint(endpoint.url, identifier); err != nil {
			return nil, fmt.Errorf("%s %q: %w", endpoint.name, cut(endpoint.url), err)
		}
	}
	return &m, nil
}

// checkEndpoint tells whether an endpoint may be asked. An issuer by https has all its endpoints by https, or a server could be made to
// send its clients' secrets over a wire in the open.
func checkEndpoint(endpoint, identifier string) error {
	if endpoint == "" {
		return nil
	}
	u, err := parseURL(endpoint)
	if err != nil {
		return err
	}
	if own, err := parseURL(identifier); err == nil && own.Scheme == "https" && u.Scheme != "https" {
		return errors.New("must use https as the issuer does")
	}
	return nil
}

func (m *Metadata) member(name string, value strictjson.Value) (err error) {
	if value.Kind() == strictjson.Null {
		return nil // some servers write null for what they do not have
	}
	switch name {
	case "issuer":
		m.Issuer, err = value.String()
	case "token_endpoint":
		m.TokenEndpoint, err = value.String()
	case "token_endpoint_auth_methods_supported":
		m.TokenMethods, err = value.Strings()
	case "token_endpoint_auth_signing_alg_values_supported":
		m.TokenAlgorithms, err = value.Strings()
	case "introspection_endpoint_auth_signing_alg_values_supported":
		m.IntrospectionAlgorithms, err = value.Strings()
	case "revocation_endpoint_auth_signing_alg_values_supported":
		m.RevocationAlgorithms, err = value.Strings()
	case "dpop_signing_alg_values_supported":
		m.DPoPAlgorithms, err = value.Strings()
	case "mtls_endpoint_aliases":
		err = value.Object(m.aliases.member)
	case "introspection_endpoint":
		m.IntrospectionEndpoint, err = value.String()
	case "introspection_endpoint_auth_methods_supported":
		m.IntrospectionMethods, err = value.Strings()
	case "revocation_endpoint":
		m.RevocationEndpoint, err = value.String()
	case "revocation_endpoint_auth_methods_supported":
		m.RevocationMethods, err = value.Strings()
	case "jwks_uri":
		m.JWKSURI, err = value.String()
	case "countersign_revocation_endpoint":
		m.RevocationFeed, err = value.String()
	case "countersign_token_store_keys":
		err = value.Array(m.storeKey)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// storeKey adds a key. One that is not understood is passed over: it makes reading the store slower and nothing worse.
func (m *Metadata) storeKey(value strictjson.Value) error {
	const most = 100
	var version uint32
	var key []byte
	err := value.Object(func(name string, value strictjson.Value) (err error) {
		switch name {
		case "version":
			var number int64
			if number, err = value.Int(); err == nil && 0 < number && number <= math.MaxUint32 {
				version = uint32(number)
			}
		case "key":
			var encoded string
			if encoded, err = value.String(); err == nil {
				key, err = base64.RawURLEncoding.Strict().DecodeString(encoded)
			}
		}
		return err
	})
	good := err == nil && version != 0 && len(key) == ed25519.PublicKeySize && len(m.StoreKeys) < most
	if good && !slices.ContainsFunc(m.StoreKeys, func(k StoreKey) bool { return k.Version == version }) {
		m.StoreKeys = append(m.StoreKeys, StoreKey{Version: version, Key: key})
	}
	return nil
}
