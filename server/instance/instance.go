package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/server"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/imported"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

// Config is what an instance is made from.
type Config struct {
	Settings Settings
	Environ  []string // for the standard OTEL_* variables
	Version  string
	Logger   *slog.Logger
	Now      func() time.Time
	// DatabaseClock is what Now is compared with; nil is the clock of the database.
	DatabaseClock func(context.Context) (time.Time, error)
	// MaintainEvery is how often clocks are compared and the database is maintained; 0 is every minute.
	MaintainEvery time.Duration
	// FirstAdmin is told the client that administers everything, and its secret, if this start made both. Nil: it makes none.
	FirstAdmin func(auth.ClientID, auth.SecretValue)
	// Listening is called with the addresses of the two listeners once requests are answered. May be nil.
	Listening func(public, admin net.Addr)
}

// Instance is an authorization server that is wired and does not run yet.
type Instance struct {
	config   Config
	store    *sqlstore.Store
	master   seal.Key
	registry *registry.Registry
	metrics  *prometheus.Registry
	tracing  *telemetry.Tracing
	clock    *watch
	parts    *parts
	server   *server.Server
}

// Run starts an instance and serves until ctx ends and what is in flight is done. What keeps it from starting is an error that
// says what to do.
func Run(ctx context.Context, c Config) error {
	if err := c.Settings.Validate(); err != nil {
		return err
	}
	i, err := open(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(i.serve(ctx), i.close())
}

func open(ctx context.Context, c Config) (i *Instance, err error) {
	i = &Instance{config: c, metrics: telemetry.NewRegistry(c.Version)}
	if i.master, err = seal.ReadKeyFile(c.Settings.MasterKeyFile); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no master key file %s (setting master_key_file): a new deployment makes one by `countersign master-key create %s`",
			c.Settings.MasterKeyFile, c.Settings.MasterKeyFile)
	}
	if err != nil {
		return nil, err
	}
	if i.tracing, err = telemetry.StartTracing(ctx, c.Environ, "countersign-server", c.Version); err != nil {
		return nil, err
	}
	i.store, err = OpenStore(ctx, c.Settings, c.Logger, i.metrics)
	if errors.Is(err, fault.Unavailable) {
		return nil, fmt.Errorf("%w; is it running, and are address, user and password in the setting database right?", err)
	}
	if err != nil {
		return nil, err
	}
	if err := i.prepare(ctx); err != nil {
		return nil, errors.Join(err, i.store.Close())
	}
	return i, nil
}

// OpenStore opens the database of the settings, and brings its schema up to date or checks that it is. registerer takes its
// metrics; it may be nil.
func OpenStore(ctx context.Context, s Settings, logger *slog.Logger, registerer prometheus.Registerer) (*sqlstore.Store, error) {
	store, err := sqlstore.Open(ctx, sqlstore.Config{URL: s.Database, Timeout: s.DatabaseTimeout, Logger: logger, Registerer: registerer})
	if err != nil {
		return nil, err
	}
	if s.Migrate {
		err = store.Migrate(ctx)
	} else {
		var status sqlstore.Status
		if status, err = store.Status(ctx); err == nil {
			err = status.Check()
		}
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// prepare fills the database with what every deployment has, and wires the parts.
func (i *Instance) prepare(ctx context.Context) (err error) {
	warnings, err := i.store.Durability(ctx)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		i.config.Logger.WarnContext(ctx, "the database may lose what was committed", "reason", warning)
	}
	i.clock = newWatch(i.config, i.store.Clock, i.metrics)
	now, err := i.clock.read(ctx)
	if err != nil {
		return fmt.Errorf("compare clocks: %w", err)
	}
	if i.registry, err = seed.System(ctx, i.store, i.master, i.config.Now); err != nil {
		return err
	}
	i.registry.Import = imported.Hash
	if err := i.bootstrap(ctx); err != nil {
		return err
	}
	if i.parts, err = wire(ctx, i, steady(now)); err != nil {
		return err
	}
	if i.server, err = i.parts.newServer(i); err != nil {
		return errors.Join(err, i.parts.close())
	}
	return nil
}

// serve runs everything, and ends it in the order in which the parts need each other: listeners, writers, directory.
func (i *Instance) serve(ctx context.Context) error {
	on, err := i.listen(ctx)
	if err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	running := i.parts.run(background, i)
	listeners := &sync.WaitGroup{}
	failures := make(chan error, 3)
	ctx, end := context.WithCancel(ctx)
	defer end()
	serve := func(listener net.Listener, c httpx.ServeConfig) {
		c.Listener, c.Log, c.DrainDelay, c.DrainTimeout = listener, i.config.Logger, i.config.Settings.DrainDelay, i.config.Settings.DrainTimeout
		listeners.Go(func() {
			defer end() // one without the other is of no use
			failures <- httpx.Serve(ctx, c)
		})
	}
	s := i.config.Settings
	serve(on.public, httpx.ServeConfig{
		Handler: i.server.Public(), Certificates: on.certificates, ClientCertificates: s.TLSRequestClientCert, Draining: i.drain,
	})
	serve(on.admin, httpx.ServeConfig{Handler: i.server.Admin()})
	if on.mutual != nil {
		serve(on.mutual, httpx.ServeConfig{Handler: i.server.Public(), Certificates: on.certificates, ClientCertificates: true})
	}
	i.config.Logger.InfoContext(ctx, "listening", "issuer", s.Issuer, "address", on.public.Addr().String(), "admin_address", on.admin.Addr().String())
	if i.config.Listening != nil {
		i.config.Listening(on.public.Addr(), on.admin.Addr())
	}
	listeners.Wait()
	stop()
	running.Wait()
	i.config.Logger.InfoContext(ctx, "stopped")
	close(failures)
	for failure := range failures {
		err = errors.Join(err, failure)
	}
	return err
}

func (i *Instance) drain() {
	s := i.config.Settings
	i.config.Logger.Info("draining", "delay", s.DrainDelay.String(), "timeout", s.DrainTimeout.String())
	i.server.Drain()
	i.parts.drain()
}

// sockets are what an instance listens on.
type sockets struct {
	public, admin net.Listener
	mutual        net.Listener        // for clients with certificates; nil: there is none
	certificates  *httpx.Certificates // nil: plain HTTP
}

func (i *Instance) listen(ctx context.Context) (all sockets, err error) {
	s := i.config.Settings
	if s.TLSCert != "" {
		if all.certificates, err = httpx.LoadCertificates(s.TLSCert, s.TLSKey, i.config.Logger, i.config.Now); err != nil {
			return all, err
		}
	}
	var config net.ListenConfig
	var opened []net.Listener
	for _, one := range []struct {
		into          *net.Listener
		name, address string
	}{{&all.public, "listen", s.Listen}, {&all.admin, "admin_listen", s.AdminListen}, {&all.mutual, "mtls_listen", s.MTLSListen}} {
		if one.address == "" {
			continue
		}
		if *one.into, err = config.Listen(ctx, "tcp", one.address); err != nil {
			err = fmt.Errorf("listen on %s (setting %s): %w", one.address, one.name, err)
			for _, listener := range opened {
				err = errors.Join(err, listener.Close())
			}
			return sockets{}, err
		}
		opened = append(opened, *one.into)
	}
	return all, nil
}

func (i *Instance) close() error {
	const lastSpans = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
	defer cancel()
	return errors.Join(i.parts.close(), i.store.Close(), i.tracing.Shutdown(ctx))
}
