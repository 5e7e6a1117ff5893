package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/countersign/countersign/internal/statuspage"
	"github.com/countersign/countersign/internal/telemetry"
)

// admin serves what operators ask.
func (p *process) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", telemetry.MetricsHandler(p.registry))
	mux.Handle("GET /status", statuspage.Handler(p.status, p.cfg.Now))
	return mux
}

// readyz says no while the gateway drains, and until it could judge the tokens of every issuer once. Later an issuer that is down does
// not count: routes know what to do then, and to take all gateways out of service would help nobody.
func (p *process) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	no := func(why string) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, why, http.StatusServiceUnavailable)
	}
	if p.draining.Load() {
		no("draining")
		return
	}
	g := p.current.Load()
	if g == nil {
		no("starting")
		return
	}
	if !g.ready.Load() {
		for _, route := range g.gateway.routes {
			if err := route.judges(r.Context()); err != nil {
				no("tokens of " + route.issuer + " cannot be judged yet")
				return
			}
		}
		g.ready.Store(true)
	}
	fmt.Fprintln(w, "ok")
}

// errNoKeys says that JWTs cannot be judged.
var errNoKeys = errors.New("no key of the issuer is known")

// judges returns nil if the route could tell good tokens from bad ones.
func (r *route) judges(ctx context.Context) error {
	if r.verifier == nil {
		return nil
	}
	if err := r.verifier.Ready(ctx); err != nil {
		return fmt.Errorf("judge tokens: %w", err)
	}
	keys := r.verifier.Describe().Keys
	if asked := keys.Fetches+keys.Failures > 0; !asked || r.jwtOnly && len(keys.Keys) == 0 {
		return errNoKeys // an issuer of opaque tokens alone may publish none, and then that was a failure
	}
	return nil
}

// levelOf is from which level on lines are logged.
func (p *process) levelOf(d *Document) slog.Level {
	text := d.LogLevel
	if p.cfg.LogLevel != "" {
		text = p.cfg.LogLevel
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(text)) // both were looked at when they were read
	return level
}

// accessLog is where the lines of requests go. Without an access log it is those that are warnings.
func (p *process) accessLog(d *Document) *slog.Logger {
	if !d.AccessLog.Disabled {
		return p.log
	}
	return telemetry.NewLeveledLogger(p.cfg.Stderr, slog.LevelWarn)
}
