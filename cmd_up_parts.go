package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/lb"
	"github.com/countersign/countersign/server/instance"
)

// balancerSettings are what `up` tells its load balancer.
type balancerSettings struct {
	Listeners   []balancerListener `json:"listeners"`
	AdminListen string             `json:"admin_listen"`
	LogLevel    string             `json:"log_level"`
}

type balancerListener struct {
	Name    string      `json:"name"`
	Listen  string      `json:"listen"`
	Targets []lb.Target `json:"targets"`
	// ResponseTimeout is how long a target may be silent before another is asked.
	ResponseTimeout time.Duration `json:"response_timeout"`
	// RetryUnsafe says that any request may be sent again, whatever its method (lb.Overrides).
	RetryUnsafe bool `json:"retry_unsafe"`
	// NotFound are paths that are not passed on.
	NotFound []string `json:"not_found"`
}

// balancerDrain is how long requests in flight may take when the load balancer ends. A stream of the revocation feed has no end of
// its own, and the auth servers, which would end it, are stopped later.
const balancerDrain = 3 * time.Second

// runBalancer serves every listener until ctx ends.
func runBalancer(ctx context.Context, settings balancerSettings, env environment, logger *slog.Logger) error {
	registry := telemetry.NewRegistry(version)
	tracing, err := telemetry.StartTracing(ctx, env.environ, "countersign-lb", version)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	var failures failureList
	serve := func(name, address string, handler http.Handler) {
		running.Go(func() {
			defer cancel() // one without the others is of no use
			var config net.ListenConfig
			listener, err := config.Listen(ctx, "tcp", address)
			if err != nil {
				failures.add(fmt.Errorf("listen on %s: %w", address, err))
				return
			}
			logger.InfoContext(ctx, "listening", "listener", name, "address", address)
			const none = -1 // streams of the revocation feed pass through; the auth servers bound what they read and write
			failures.add(httpx.Serve(ctx, httpx.ServeConfig{
				Listener: listener, Handler: handler, Log: logger, ReadTimeout: none, WriteTimeout: none, DrainTimeout: balancerDrain,
			}))
		})
	}
	for _, listener := range settings.Listeners {
		handler, transport, pool, err := newBalancer(listener, logger)
		if err != nil {
			cancel()
			running.Wait()
			return err
		}
		defer transport.CloseIdleConnections()
		running.Go(func() { pool.Run(ctx) })
		serve(listener.Name, listener.Listen, tracing.Middleware(without(listener.NotFound, handler)))
	}
	health := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	health.HandleFunc("GET /healthz", ok)
	health.HandleFunc("GET /readyz", ok)
	health.Handle("GET /metrics", telemetry.MetricsHandler(registry))
	serve("health", settings.AdminListen, health)
	running.Wait()
	const lastSpans = 2 * time.Second
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer stop()
	failures.add(tracing.Shutdown(last))
	return failures.join()
}

// without is next for all paths but these.
func without(paths []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(paths, r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func newBalancer(listener balancerListener, logger *slog.Logger) (http.Handler, *lb.Transport, *lb.Pool, error) {
	const checkEvery = 250 * time.Millisecond
	pool, err := lb.NewPool(lb.PoolConfig{
		Name: listener.Name, Targets: listener.Targets, Health: lb.Health{Interval: checkEvery}, Logger: logger,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	transport, err := lb.NewTransport(lb.TransportConfig{
		Pool:      pool,
		Overrides: lb.Overrides{RetryUnsafe: listener.RetryUnsafe, RetryTimeouts: true, ResponseTimeout: listener.ResponseTimeout},
	})
	if err != nil {
		return nil, nil, nil, err
	}
	handler, err := lb.New(lb.Config{Transport: transport, Logger: logger})
	return handler, transport, pool, err
}

// failureList collects errors from several goroutines.
type failureList struct {
	mu   sync.Mutex
	errs []error
}

func (f *failureList) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *failureList) join() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}

// topology are the parts of the picture on these ports.
func topology(ports up.Ports, settings instance.Settings) []up.Part {
	parts := make([]up.Part, 0, len(ports.Auth)+1)
	var issuers, admins []lb.Target
	for i, port := range ports.Auth {
		one := settings
		one.Listen, one.AdminListen = up.Address(port), up.Address(ports.AuthAdmin[i])
		one.Issuer = up.URL(ports.Issuer)
		one.Migrate = false // done before the parts start
		one.TrustedProxies = []string{"127.0.0.1/32"}
		parts = append(parts, up.Part{
			Name: fmt.Sprintf("auth-%d", i+1), Role: roleServer, Settings: one,
			Ready: up.URL(ports.AuthAdmin[i]) + "/readyz", URL: up.URL(port),
		})
		issuers = append(issuers, lb.Target{URL: up.Address(port)})
		admins = append(admins, lb.Target{URL: up.Address(ports.AuthAdmin[i])})
	}
	// The public endpoints bound their own work by the time that the database may take, so a server that is silent for longer hangs.
	// What they are asked may be asked again: at worst a token that nobody bears has a row. The admin API may have much to do, and
	// who sent it a POST must know whether it was carried out once: only one that reached no server is sent to another.
	silence := settings.DatabaseTimeout + time.Second
	const work = 30 * time.Second
	return append(parts, up.Part{
		Name: "lb", Role: roleBalancer, Ready: up.URL(ports.Balancer) + "/readyz", URL: up.URL(ports.Issuer),
		Settings: balancerSettings{
			AdminListen: up.Address(ports.Balancer), LogLevel: settings.LogLevel,
			Listeners: []balancerListener{
				{Name: "issuer", Listen: up.Address(ports.Issuer), Targets: issuers, ResponseTimeout: silence, RetryUnsafe: true},
				{
					Name: "admin", Listen: up.Address(ports.Admin), Targets: admins, ResponseTimeout: work,
					NotFound: []string{"/metrics"}, // those of one server or another would make no sense
				},
			},
		},
	})
}
