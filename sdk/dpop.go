package sdk

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

const (
	dpopScheme   = "DPoP"
	dpopHeader   = "DPoP"
	nonceHeader  = "DPoP-Nonce"
	useNonce     = "use_dpop_nonce"
	invalidProof = "invalid_dpop_proof"
)

// The bounds of what is remembered of servers' nonces.
const (
	maxNonces   = 1024 // servers
	nonceLength = 1024
)

// errBearer: a token that anybody could use came where one that is bound was asked for, RFC 9449 §5.
var errBearer = errors.New("the server answered with token_type Bearer where a token bound by DPoP was asked for; it is not used, since whoever " +
	"takes it could use it too: see that the server supports DPoP, or leave out WithDPoP")

// WithDPoP has the server bind tokens to a key (RFC 9449): they are of use only together with a proof that whoever sends them has it. [Client.Transport]
// makes one for every attempt, [Token.Authorize] for those who send requests themselves. Nonces that servers ask for are remembered, for each
// origin. A server that answers with a token that is not bound is an error.
//
// key is P-256, Ed25519 or RSA; nil is a new P-256 key, which lives as long as the Client. With [WithSharedTokens] all instances need the same one.
func WithDPoP(key *proof.Key) ClientOption {
	return clientOption(func(c *clientConfig) (err error) {
		c.dpop = &dpop{key: key, given: key != nil, nonces: map[string]string{}}
		if key == nil {
			c.dpop.key, err = proof.GenerateKey(jose.ES256)
		}
		return err
	})
}

// dpop makes proofs with one key.
type dpop struct {
	key   *proof.Key
	given bool // by the user: others may have it too

	mu     sync.Mutex
	nonces map[string]string // by origin: what it asked for last
}

// supported refuses early what the server will not have.
func (d *dpop) supported(m *issuer.Metadata) error {
	switch {
	case len(m.DPoPAlgorithms) == 0:
		return local(errors.New("the server's metadata does not say that it supports DPoP (dpop_signing_alg_values_supported), which WithDPoP asks for"))
	case !slices.Contains(m.DPoPAlgorithms, string(d.key.Algorithm())):
		return local(fmt.Errorf("the server's metadata does not list %s, which the DPoP key is for, among the algorithms of DPoP proofs: %s",
			d.key.Algorithm(), strings.Join(m.DPoPAlgorithms, ", ")))
	}
	return nil
}

// prove adds a proof for a request of this method to u, which bears this token ("": none).
func (d *dpop) prove(h http.Header, method string, u *url.URL, token string) error {
	d.mu.Lock()
	nonce := d.nonces[origin(u)]
	d.mu.Unlock()
	text, err := d.key.DPoP(proof.Use{Method: method, URL: u, AccessToken: token, Nonce: nonce})
	if err != nil {
		return fmt.Errorf("make a DPoP proof: %w", err)
	}
	h.Set(dpopHeader, text)
	return nil
}

// heed remembers the nonce that u's server asks for next (RFC 9449 §8.2), and tells whether the answer has one.
func (d *dpop) heed(u *url.URL, h http.Header) bool {
	given := h[nonceHeaderKey]
	if len(given) != 1 || !goodNonce(given[0]) {
		return false
	}
	at := origin(u)
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.nonces[at]; !known && len(d.nonces) >= maxNonces {
		for other := range d.nonces { // whichever: it is asked for again
			delete(d.nonces, other)
			break
		}
	}
	d.nonces[at] = given[0]
	return true
}

// nonceHeaderKey is nonceHeader as a key of a header.
const nonceHeaderKey = "Dpop-Nonce"

// goodNonce tells whether a text is made of NQCHAR, RFC 9449 §8.1.
func goodNonce(text string) bool {
	return text != "" && len(text) <= nonceLength && !strings.ContainsFunc(text, func(c rune) bool {
		return c <= ' ' || c == '"' || c == '\\' || c > '~'
	})
}

// proofRefused tells whether a resource would not have the proof (RFC 9449 §7.1, §9), while it may well have the token.
func proofRefused(h http.Header) bool {
	return challenged(h, useNonce) || challenged(h, invalidProof)
}

// challenged tells whether a challenge has this error code.
func challenged(h http.Header, code string) bool {
	for _, challenge := range h.Values("WWW-Authenticate") {
		challenge = strings.ToLower(challenge)
		if strings.Contains(challenge, `error="`+code+`"`) || strings.Contains(challenge, "error="+code) {
			return true
		}
	}
	return false
}
