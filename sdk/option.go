package sdk

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
)

// ClientOption is an option of [New].
type ClientOption interface{ applyClient(*clientConfig) error }

// VerifierOption is an option of [NewVerifier].
type VerifierOption interface{ applyVerifier(*verifierConfig) error }

// Option is an option of both [New] and [NewVerifier].
type Option interface {
	ClientOption
	VerifierOption
}

// common is what a Client and a Verifier are both configured by.
type common struct {
	http      *http.Client  // nil: one of our own
	addresses []string      // base URLs by which the issuer is reached; empty: the issuer itself
	log       *slog.Logger  // never nil
	tracer    Tracer        // never nil
	timeout   time.Duration // of one request to the issuer
}

type commonOption func(*common) error

func (o commonOption) applyClient(c *clientConfig) error     { return o(&c.common) }
func (o commonOption) applyVerifier(c *verifierConfig) error { return o(&c.common) }

type clientOption func(*clientConfig) error

func (o clientOption) applyClient(c *clientConfig) error { return o(c) }

type verifierOption func(*verifierConfig) error

func (o verifierOption) applyVerifier(c *verifierConfig) error { return o(c) }

type clientConfig struct {
	common
	maxWait   time.Duration                         // of a caller without a valid token
	exchanges int                                   // how many tokens are kept that were got in exchange for others
	shared    TokenStore                            // nil: tokens are not shared
	material  func(context.Context) ([]byte, error) // what its key is derived from; inside a function nothing that prints finds it
	dpop      *dpop                                 // nil: tokens are for bearers
}

type verifierConfig struct {
	common
	clientID string
	auth     ClientAuth // nil: none

	bound, grace, leeway time.Duration
	stores               []tokenStore
	stateFile            string // empty: none
	cacheSize            int
	algorithms           []jose.Algorithm
	keysMaxAge           time.Duration
	legacy               bool
	noRevocation         bool
	signedAnswers        bool // introspection, see WithSignedIntrospection

	boundOnly  bool
	publicURL  string                     // origin and path before that of requests; empty: as requests say
	requestURI func(*http.Request) string // nil: by publicURL
	proxies    []netip.Prefix             // whose Client-Cert is believed
	nonces     *proof.Nonces              // nil: none are asked for
	replays    ReplayStore                // nil: none is shared

	realm            string // of challenges; empty: the audience
	resourceMetadata string // the URL that challenges name; empty: none
}
