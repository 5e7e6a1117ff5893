package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/cli"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
)

type upSettings struct {
	DataDir  string `name:"data-dir" default:"./countersign-data" help:"folder for the database, the master key, credentials, configurations of the gateways and logs"`
	PortBase int    `name:"port-base" default:"0" help:"first of the ports; 0: the usual ones (8080, 9000, 9090, …)"`
	MySQL    string `name:"mysql" secret:"true" help:"mysql://user:password@host:port/database in place of SQLite"`
	Redis    string `name:"redis" secret:"true" help:"redis://host:port/db in place of the in-process token store"`
	Reset    bool   `name:"reset" default:"false" help:"remove what earlier starts left in the data folder, after asking, and begin anew"`
	Yes      bool   `name:"yes" default:"false" help:"do not ask"`
	Quiet    bool   `name:"quiet" default:"false" help:"print the ready line alone"`
	JSON     bool   `name:"json" default:"false" help:"print one JSON object in place of the screen and the ready line"`
	Drills   bool   `name:"drills" default:"false" help:"put fault proxies between parts, and in front of MySQL and Redis, for countersign drill and up fault"`
	LogLevel string `name:"log-level" default:"info" oneof:"debug|info|warn|error" help:"of the parts: debug, info, warn or error"`
}

// profile is the one of the command line that `up` writes for itself.
const profile = "up"

// defaultDataDir is the default of data-dir.
const defaultDataDir = "./countersign-data"

func newUpCmd(env environment) *cobra.Command {
	var settings upSettings
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole system on this machine, nothing to install",
		Long: "Run the whole system on this machine, each part a process of its own: two authorization servers on one\n" +
			"database, two gateways, a load balancer in front of both, and two services: A takes orders and asks B, the\n" +
			"inventory, for them. The database is SQLite in the data folder unless --mysql names another. It ends on\n" +
			"SIGTERM or Ctrl-C, and the parts end with it however it dies.",
		Example: "  countersign up\n  countersign up --data-dir /tmp/try --port-base 24000",
		Args:    subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			if settings.MySQL != "" && !strings.HasPrefix(settings.MySQL, "mysql://") {
				return usageError{errors.New("--mysql: allowed is mysql://user:password@host:port/database; without it the database is SQLite")}
			}
			err := runUp(cmd.Context(), env, settings)
			if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
				err = nil // told to end while it was starting
			}
			return err
		},
	}
	config.Bind(cmd.Flags(), &settings)
	cmd.AddCommand(newUpControlCmds(env)...)
	return cmd
}

func runUp(ctx context.Context, env environment, settings upSettings) (err error) {
	// People read this, beside the screen; the parts' own logs are JSON.
	logger := slog.New(slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ports := up.DefaultPorts()
	if settings.PortBase != 0 {
		if ports, err = up.PortsFrom(settings.PortBase); err != nil {
			return usageError{err}
		}
	}
	program, typed, err := up.Executable(env.args)
	if err != nil {
		return err
	}
	folder, err := up.OpenFolder(settings.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	faults, seen := &up.Faults{}, ports // as the load balancer sees them
	defer func() { err = errors.Join(err, faults.Close()) }()
	if settings.Drills {
		if seen, err = interpose(faults, ports, &settings); err != nil {
			return err
		}
	}
	parts := partSettings(folder, settings)
	if err := parts.Validate(); err != nil {
		return usageError{fmt.Errorf("--redis: %w", err)} // the others are not the user's
	}
	if err := ports.Free(ctx); err != nil {
		return err
	}
	if settings.Reset {
		if err := resetFolder(env, folder, settings); err != nil {
			return err
		}
	}
	bootstrap, inventory, err := prepareSystem(ctx, folder, parts, ports, logger)
	if err != nil {
		return err
	}
	if err := writeGatewayDocuments(folder, ports, parts.LogLevel, bootstrap.Clients["gateway"]); err != nil {
		return err
	}
	all := topology(folder, ports, parts, bootstrap, inventory)
	if settings.Drills {
		divert(all, seen, parts)
	}
	const startWithin, stopWithin = 30 * time.Second, 15 * time.Second
	spans, err := gatherSpans(ctx, env.environ, all, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spans.close()) }()
	system, err := up.Start(ctx, up.Config{
		Folder: folder, Parts: all, Asked: spans.commands(), Program: program, Argument: partCommand, Logger: logger,
		StartWithin: startWithin, StopWithin: stopWithin, Database: databaseKind(parts), TokenStore: storeKind(parts), Faults: faults,
	})
	if err != nil {
		return err
	}
	// The command line finds the system by it. Without it everything else works.
	if err := cli.WriteProfile(env.environ, profile, cli.Profile{Bootstrap: folder.BootstrapPath()}); err != nil {
		logger.WarnContext(ctx, "the command line cannot find this system by itself", "error", err)
	}
	list := typed + " client list"
	if current, err := cli.CurrentProfile(env.environ); err == nil && current != profile {
		list += " --profile " + profile // the user has chosen another
	}
	return attend(ctx, system, func() {
		show := screen{
			typed: typed, list: list, folder: folder, bootstrap: bootstrap, ports: ports, settings: settings, paint: terminal.For(env.stdout, env.environ),
		}
		show.print(env.stdout, system.Status())
	})
}

// attend serves the control socket, calls ready, and stops the system when ctx ends or the socket fails.
func attend(ctx context.Context, system *up.System, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var control sync.WaitGroup
	var failure error
	socket, err := system.OpenControl(ctx)
	if err != nil {
		return errors.Join(err, system.Stop())
	}
	control.Go(func() {
		defer cancel()
		failure = socket.Serve(ctx)
	})
	ready()
	<-ctx.Done()
	control.Wait()
	return errors.Join(failure, system.Stop())
}

func partSettings(folder *up.Folder, settings upSettings) instance.Settings {
	s := instance.DefaultSettings()
	s.MasterKeyFile = folder.File("master.key")
	s.LogLevel = settings.LogLevel
	s.TokenBudget = 0 // drills ask for tokens without end, at a steady rate
	s.Database = "sqlite:" + folder.File("countersign.db")
	if settings.MySQL != "" {
		s.Database = settings.MySQL
	}
	if settings.Redis != "" {
		s.TokenStore, s.TokenStoreDirect = settings.Redis, true
	}
	return s
}

// prepareSystem makes the master key, the schema, the first rows and the credentials, as far as they are missing. inventory is the
// API that the services speak of.
func prepareSystem(ctx context.Context, folder *up.Folder, s instance.Settings, ports up.Ports, logger *slog.Logger) (b up.Bootstrap, inventory *auth.API, err error) {
	warnOfRedis(ctx, s, logger)
	master, err := seal.CreateKeyFile(s.MasterKeyFile)
	if errors.Is(err, fs.ErrExist) {
		master, err = seal.ReadKeyFile(s.MasterKeyFile)
	}
	if err != nil {
		return b, nil, err
	}
	store, err := instance.OpenStore(ctx, s, logger, nil)
	if errors.Is(err, fault.Unavailable) {
		return b, nil, fmt.Errorf("%w; is its server running, and is the address of --mysql right? Without --mysql the database is SQLite", err)
	}
	if err != nil {
		return b, nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	made, err := seed.System(ctx, store, master, time.Now)
	if err != nil {
		return b, nil, err
	}
	if b, err = folder.ReadBootstrap(); err != nil {
		return b, nil, err
	}
	b.Issuer, b.AdminURL, b.EntryURL = up.URL(ports.Issuer), up.URL(ports.Admin), up.URL(ports.Entry)
	api, roles := seed.Demo()
	if inventory, err = seed.API(ctx, made, api); err != nil {
		return b, nil, err
	}
	for _, role := range append([]seed.Role{seed.Admin()}, roles...) {
		if err := ensureClient(ctx, made, role, &b); err != nil {
			return b, nil, err
		}
	}
	return b, inventory, folder.WriteBootstrap(b)
}

// ensureClient keeps the credentials of an earlier start if their client still exists, and makes new ones otherwise.
func ensureClient(ctx context.Context, r *registry.Registry, role seed.Role, b *up.Bootstrap) error {
	if id, err := auth.ParseClientID(b.Clients[role.Name].ClientID); err == nil {
		if exists, err := seed.Exists(ctx, r.Store, id); err != nil || exists {
			return err
		}
	}
	made, err := seed.Client(ctx, r, role)
	if err != nil {
		return fmt.Errorf("make the client %s: %w", role.Name, err)
	}
	if b.Clients == nil {
		b.Clients = map[string]up.Credential{}
	}
	b.Clients[role.Name] = up.Credential{
		ClientID: made.ID.String(), ClientSecret: made.Secret.Reveal(), Resource: role.Calls, Serves: role.Serves,
	}
	return nil
}

// warnOfRedis says so if the token store does not answer. Everything works without it, so nothing else would.
func warnOfRedis(ctx context.Context, s instance.Settings, logger *slog.Logger) {
	if !s.TokenStoreDirect {
		return // it is in the process
	}
	redis, err := redisconn.Open(s.TokenStore, redisconn.Config{Budget: time.Second})
	if err == nil {
		err = errors.Join(redis.Ping(ctx), redis.Close())
	}
	if err != nil {
		logger.WarnContext(ctx, "Redis (--redis) does not answer; until it does, tokens are looked up in the database", "error", err)
	}
}
