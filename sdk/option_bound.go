package sdk

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign/countersign/sdk/proof"
)

// WithBoundTokensOnly has the verifier accept no token but those that are bound to a key or certificate of the caller's, by a cnf of
// RFC 9449 §6 or RFC 8705 §3. [Policy.Bound] asks for it on a single route.
func WithBoundTokensOnly() VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.boundOnly = true
		return nil
	})
}

// WithPublicURL says by which origin clients know the service, such as "https://api.example.com", and under which path, if a proxy takes a
// part of it off. DPoP proofs name the URI that they are for (htu). By default the origin is what a request says of itself: http or
// https as it came, and its Host. Without this option, where any Host is served, a service that a client calls can use the client's token
// and proof here, if the token is for this audience too: by sending its own name as the Host.
func WithPublicURL(origin string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("WithPublicURL: %q is not an http or https URL without user, query and fragment", origin)
		}
		c.publicURL = strings.TrimSuffix(origin, "/")
		return nil
	})
}

// WithRequestURI says how the absolute URI is found by which the client knows a request, where [WithPublicURL] is not enough: behind
// proxies that tell it, whom only the service knows. It is called with requests whose token came by the scheme DPoP.
func WithRequestURI(uri func(*http.Request) string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if uri == nil {
			return errors.New("WithRequestURI: the function is nil")
		}
		c.requestURI = uri
		return nil
	})
}

// WithClientCertFrom names the addresses of the proxies that end TLS before the service, whose header Client-Cert (RFC 9440) says by which
// certificate the client authenticated itself. The proxy must remove what clients send by that name, and have the client prove that it
// has the key. From any other address the header is not looked at. By default there are none.
func WithClientCertFrom(proxies ...netip.Prefix) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if len(proxies) == 0 || slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return !p.IsValid() }) {
			return errors.New("WithClientCertFrom: want valid prefixes, and at least one")
		}
		c.proxies = slices.Clone(proxies)
		return nil
	})
}

// WithDPoPNonces asks for a nonce of the service's own in every DPoP proof (RFC 9449 §9), under a key of at least 32 bytes that all instances
// share. Clients whose clocks are wrong can then call too, and no proof can be made in advance. It costs a client one request more, at first
// and each time after it has been silent for some minutes.
func WithDPoPNonces(key []byte) VerifierOption {
	return verifierOption(func(c *verifierConfig) (err error) {
		if c.nonces, err = proof.NewNonces(key); err != nil {
			return fmt.Errorf("WithDPoPNonces: %w", err)
		}
		return nil
	})
}

// WithReplayStore has all instances of the service share what they know of DPoP proofs that were used, so that one cannot be used once at
// each of them. A store that does not answer within 50 ms is passed over: then each instance goes by what it has seen itself, which it
// remembers in any case.
func WithReplayStore(store ReplayStore) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if store == nil {
			return errors.New("WithReplayStore: the store is nil")
		}
		c.replays = store
		return nil
	})
}
