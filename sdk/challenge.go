package sdk

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/countersign/countersign/sdk/proof"
)

// WithRealm sets the realm that challenges name (RFC 9110 §11.5): printable ASCII without quotes and backslashes. Without this
// option it is the verifier's audience.
func WithRealm(realm string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if realm == "" || quotable(realm) != realm {
			return errors.New("WithRealm: want printable ASCII without quotes and backslashes, and not nothing")
		}
		c.realm = realm
		return nil
	})
}

// WithResourceMetadata makes challenges name the URL of the resource's metadata (RFC 9728 §5.1), where
// [Verifier.ResourceMetadata] is served: absolute, https, or http on loopback. It holds for the audience given to [NewVerifier],
// and not for that of [Verifier.ForAudience], which is another resource: see [Verifier.ForResource].
func WithResourceMetadata(address string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if err := checkMetadataURL(address); err != nil {
			return fmt.Errorf("WithResourceMetadata: %w", err)
		}
		c.resourceMetadata = address
		return nil
	})
}

func checkMetadataURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || quotable(address) != address {
		return fmt.Errorf("%q is not an absolute URL without user and fragment", address)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fmt.Errorf("%q is neither https nor on loopback", address)
	}
	return nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// The schemes of challenges.
const (
	schemeBearer = "Bearer "
	schemeDPoP   = "DPoP "
)

// proofAlgorithms are those of DPoP proofs.
func proofAlgorithms() (names []string) {
	for _, a := range proof.Algorithms() {
		names = append(names, string(a))
	}
	return names
}

// challengeParameters returns what every challenge of a verifier begins with (RFC 6750 §3 wants at least one parameter, hence a realm).
// Realm and resourceMetadata may be empty.
func challengeParameters(audience, realm, resourceMetadata string) string {
	if realm == "" {
		realm = quotable(audience)
	}
	parameters := `realm="` + realm + `"`
	if resourceMetadata != "" {
		parameters += `, resource_metadata="` + resourceMetadata + `"`
	}
	return parameters
}

// quotable returns s with every character replaced that RFC 6750 §3 does not allow in error_description and scope.
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return '?'
		}
		return c
	}, s)
}
