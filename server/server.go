// Package server is the HTTP of the authorization server: the token endpoint, introspection, revocation, the revocation
// feed, metadata and keys on its public handler, health and metrics on its admin handler.
package server

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/oauth"
)

// Keys are the signing keys, as keys.Ring holds them.
type Keys interface {
	oauth.Signer
	// SignAnswer returns a signed introspection answer (RFC 9701); fault.Unavailable if no key of the algorithm can sign.
	SignAnswer(alg auth.Algorithm, a keys.Answer) (string, error)
	// JWKS returns the JWK set.
	JWKS() keys.JWKS
}

// Feed is the revocation feed, as feed.Feed serves it.
type Feed interface {
	// Serve answers a client that may read the feed. allowed tells whether it still may; a stream ends when it may not.
	Serve(w http.ResponseWriter, r *http.Request, client auth.ClientID, allowed func() bool) error
}

// Uses takes down what clients do, as usage.Collector does. None of its methods waits.
type Uses interface {
	oauth.Uses
	// Failed is told of a client that was not authenticated, and why: one of auth.Reasons. client is zero unless it names a client
	// that exists.
	Failed(client auth.ClientID, reason string, source netip.Addr, request string)
}

// nobody takes nothing down.
type nobody struct{}

func (nobody) Authenticated(auth.ClientID, auth.SecretID, netip.Addr) {}
func (nobody) Issued(*auth.Token)                                     {}
func (nobody) Failed(auth.ClientID, string, netip.Addr, string)       {}

// Config says what a Server needs. A field is required unless it says otherwise.
type Config struct {
	// Issuer is the issuer identifier (RFC 8414 §2): an absolute http or https URL without query or fragment. The endpoints
	// are served under its path.
	Issuer        string
	Directory     auth.Directory
	Authenticator *auth.Authenticator
	Tokens        *auth.Tokens
	Writer        oauth.Writer
	Keys          Keys
	Store         oauth.Store
	Feed          Feed         // nil: there is none, and none is advertised
	Uses          Uses         // nil: nothing is taken down
	Guard         *abuse.Guard // nil: nothing is limited
	// StoreKeys returns, by version, the public keys by which services check records of the token store. Nil, or none: services
	// do not read it.
	StoreKeys func() map[uint32]ed25519.PublicKey
	// Proofs records proofs that are good for one use, as auth.Ledger does.
	Proofs interface {
		UseProofs(ctx context.Context, uses []auth.ProofUse) error
	}
	// Nonces returns what gives out nonces for DPoP proofs, the same to all instances. RequireNonce refuses proofs without one.
	Nonces       func() *proof.Nonces
	RequireNonce bool
	// MutualTLS says that a connection may have a client certificate: of a listener that asks for them, or by CertificateProxies, whose header
	// Client-Cert is believed (RFC 9440). MutualTLSURL is where clients with certificates find the endpoints (RFC 8705 §5), without a final slash;
	// empty: where all others do.
	MutualTLS          bool
	CertificateProxies httpx.Proxies
	MutualTLSURL       string
	// AdminAPI serves everything below /admin/v1 on the admin handler. Nil: there is nothing.
	AdminAPI http.Handler
	// Ready returns why this instance can neither issue nor verify, or nil. It must not take long.
	Ready func(context.Context) error

	Now     func() time.Time
	Log     *slog.Logger
	Proxies httpx.Proxies // whose forwarded headers are believed; empty: nobody's

	// Registerer takes the metrics of this package, Gatherer is what /metrics shows. Either may be nil.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
	// Middleware is laid around both handlers, such as for traces. Nil: none.
	Middleware func(http.Handler) http.Handler
	// Docs is the address of the page that explains the errors; empty is httpx.DefaultDocs.
	Docs string
}

// Server serves HTTP. Its methods may be called by any number of goroutines.
type Server struct {
	config    Config
	clients   *authenticator
	base      string // of the endpoints' addresses: the issuer without a final slash
	path      string // of the issuer, without a final slash
	alias     string // MutualTLSURL with the issuer's path, and its host; empty: there is none
	aliasHost string
	issuer    *oauth.Endpoint
	metrics   *metrics
	buffers   buffers
	draining  atomic.Bool
	public    http.Handler
	admin     http.Handler
}

// New returns a server. It does no I/O and starts nothing.
func New(c Config) (*Server, error) {
	address, err := url.Parse(c.Issuer)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" || address.User != nil ||
		strings.ContainsAny(c.Issuer, "?#") || address.EscapedPath() != address.Path {
		return nil, fmt.Errorf("issuer %q: an absolute http or https URL without user, query or fragment is allowed", c.Issuer)
	}
	if c.Docs == "" {
		c.Docs = httpx.DefaultDocs
	}
	if c.Uses == nil {
		c.Uses = nobody{}
	}
	clients := &authenticator{c.Authenticator, c.Guard}
	s := &Server{
		config: c, clients: clients, base: strings.TrimSuffix(c.Issuer, "/"), path: strings.TrimSuffix(address.Path, "/"),
		issuer: oauth.New(oauth.Config{
			Authenticator: clients, Budget: c.Guard, Directory: c.Directory, Tokens: c.Tokens, Writer: c.Writer, Signer: c.Keys, Store: c.Store,
			Uses: c.Uses, Now: c.Now,
		}),
	}
	if c.MutualTLSURL != "" {
		alias, err := url.Parse(c.MutualTLSURL)
		if err != nil || alias.Scheme != "https" || alias.Host == "" || alias.Path != "" || alias.User != nil || strings.ContainsAny(c.MutualTLSURL, "?#") {
			return nil, fmt.Errorf("address for clients with certificates %q: an https URL without user, path, query or fragment is allowed", c.MutualTLSURL)
		}
		s.alias, s.aliasHost = c.MutualTLSURL+s.path, alias.Host
	}
	if s.metrics, err = newMetrics(c.Registerer); err != nil {
		return nil, err
	}
	s.public = s.handler(s.faults(), s.publicRoutes())
	s.admin = s.handler(httpx.Problems(c.Docs), s.adminRoutes())
	return s, nil
}

// Public returns the handler of the public listener.
func (s *Server) Public() http.Handler { return s.public }

// Admin returns the handler of the admin listener.
func (s *Server) Admin() http.Handler { return s.admin }
