package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/telemetry"
)

// demoService is one of the demo's services, as the process around it sees it.
type demoService interface {
	http.Handler
	Close() error
}

// demoParts are what a demo service gets of the process that it runs in.
type demoParts struct {
	http    *http.Client
	log     *slog.Logger
	tracers trace.TracerProvider
	meters  metric.MeterProvider
}

// demoFrame is the process around a demo service: listeners, health, metrics, traces.
type demoFrame struct {
	name                string
	listen, adminListen string
	settings            demoSettings

	draining atomic.Bool
}

// run serves what build makes until ctx ends.
func (f *demoFrame) run(ctx context.Context, env environment, build func(demoParts) (demoService, error)) (err error) {
	logger, err := telemetry.NewLogger(env.stderr, f.settings.LogLevel)
	if err != nil {
		return usageError{err}
	}
	proxies, err := httpx.ParseProxies(f.settings.TrustedProxies)
	if err != nil {
		return usageError{fmt.Errorf("setting trusted_proxies: %w", err)}
	}
	var certificates *httpx.Certificates
	if f.settings.TLSCert != "" {
		if certificates, err = httpx.LoadCertificates(f.settings.TLSCert, f.settings.TLSKey, logger, time.Now); err != nil {
			return usageError{err}
		}
	}
	carrier, err := f.carrier()
	if err != nil {
		return usageError{err}
	}
	tracing, err := telemetry.StartTracing(ctx, env.environ, f.name, version)
	if err != nil {
		return usageError{err}
	}
	defer func() {
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		err = errors.Join(err, tracing.Shutdown(last))
	}()
	registry := telemetry.NewRegistry(version)
	meters, err := telemetry.Meters(registry)
	if err != nil {
		return err
	}
	service, err := build(demoParts{
		http: &http.Client{Transport: tracing.Transport(carrier)}, log: logger, tracers: tracing.Provider(), meters: meters,
	})
	if err != nil {
		return usageError{err}
	}
	defer func() { err = errors.Join(err, service.Close()) }()
	edge := &httpx.Edge{Log: logger, Proxies: proxies, Now: time.Now, Write: httpx.Problems(httpx.DefaultDocs)}
	return f.serve(ctx, logger, certificates, edge.Wrap(tracing.Middleware(routed(service))), f.admin(service, registry))
}

// routed has the access log say which route a request took.
func routed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		httpx.From(r.Context()).Route = r.Pattern
	})
}

// carrier is the transport of the service's own requests: it keeps enough connections for many orders at once.
func (f *demoFrame) carrier() (*http.Transport, error) {
	const connections = 256
	carrier := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: connections, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2: true,
	}
	if f.settings.CAFile == "" {
		return carrier, nil
	}
	text, err := os.ReadFile(f.settings.CAFile)
	if err != nil {
		return nil, fmt.Errorf("setting ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("setting ca_file: %s holds no PEM certificate", f.settings.CAFile)
	}
	carrier.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return carrier, nil
}

// admin serves health and metrics.
func (f *demoFrame) admin(service demoService, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		var why error
		if f.draining.Load() {
			why = errors.New("draining")
		} else if judge, ok := service.(interface {
			Ready(ctx context.Context) error
		}); ok {
			why = judge.Ready(r.Context())
		}
		if why != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, why.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", telemetry.MetricsHandler(registry))
	return mux
}

func (f *demoFrame) serve(ctx context.Context, log *slog.Logger, certificates *httpx.Certificates, service, admin http.Handler) error {
	var listen net.ListenConfig
	public, err := listen.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen on %s (setting listen): %w", f.listen, err)
	}
	private, err := listen.Listen(ctx, "tcp", f.adminListen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s (setting admin_listen): %w", f.adminListen, err), public.Close())
	}
	log.InfoContext(ctx, "listening", "address", public.Addr().String(), "admin_address", private.Addr().String(), "issuer", f.settings.Issuer)
	ctx, end := context.WithCancel(ctx)
	defer end()
	var both sync.WaitGroup
	failures := make([]error, 2)
	for i, c := range []httpx.ServeConfig{
		{Listener: public, Handler: service, Certificates: certificates, Log: log, Draining: func() { f.draining.Store(true) }},
		{Listener: private, Handler: admin, Log: log},
	} {
		both.Go(func() {
			defer end() // one without the other is of no use
			failures[i] = httpx.Serve(ctx, c)
		})
	}
	both.Wait()
	log.InfoContext(ctx, "stopped")
	return errors.Join(failures...)
}
