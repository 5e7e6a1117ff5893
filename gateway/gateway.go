// Package gateway forwards requests to services and lets in only who may: routes say which requests go where, whose tokens they want and
// how many are let in. The same decisions are there for other proxies to ask for (external authorization).
//
// Tokens are judged by the SDK's verifier and upstreams reached by lb's pools; what is here is routes, hygiene and limits.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/document"
	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/sdk"
)

// Limiter counts requests. ratelimit has two.
type Limiter interface {
	// Allow counts one more request of this key, if it is within the limit.
	Allow(ctx context.Context, key string, l ratelimit.Limit) ratelimit.Verdict
}

// Config is what a Gateway is made of. Document is required; Source, Logger, Metrics, Tracing and Now may be left out.
type Config struct {
	Document *Document
	// Source knows where in its file each member of the document stands.
	Source *document.Source
	// Transports reach the pools of the document, by name. They may be missing if no request is forwarded.
	Transports map[string]*lb.Transport
	// Verifiers judge the tokens of the issuers of the document, by name. Missing ones are an error where a route needs them.
	Verifiers map[string]*sdk.Verifier
	// Clients exchange tokens at the issuers, by name; those without credentials are missing.
	Clients map[string]*sdk.Client
	// Limiter counts for the routes that have a limit. It may be missing if none has.
	Limiter Limiter
	Logger  *slog.Logger
	Metrics *Metrics
	Tracing *telemetry.Tracing
	Now     func() time.Time
}

// Gateway serves the routes of one document. It is an http.Handler, to be served within an httpx.Edge. It does not change, and any
// number of goroutines may use it.
type Gateway struct {
	cfg      Config
	paths    Paths
	table    *table
	routes   []*route
	byHost   bool // some route names hosts
	limiter  Limiter
	buffers  httputil.BufferPool
	unrouted *routeCounts
}

// New makes a gateway. It does no I/O. The error names every mistake of the document that only shows when its parts are put together.
func New(cfg Config) (*Gateway, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if cfg.Tracing == nil {
		cfg.Tracing = new(telemetry.Tracing)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Gateway{
		cfg: cfg, paths: cfg.Document.Paths, table: newTable(), limiter: cfg.Limiter, buffers: lb.NewBuffers(),
		unrouted: cfg.Metrics.route(""),
	}
	c := &compiler{gateway: g, document: cfg.Document, source: cfg.Source}
	c.routes()
	if len(c.errs) == 0 { // what is wrong with a route is not to be told twice
		c.resources()
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return g, nil
}

var _ http.Handler = (*Gateway)(nil)

// forwards reports whether some listener of the document forwards requests.
func (d *Document) forwards() bool {
	return slices.ContainsFunc(d.Listeners, func(l Listener) bool { return l.Serves != servesAuthorization })
}

// What a listener can serve.
const servesAuthorization = "authorization"
