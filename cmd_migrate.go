package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/sqlstore"
)

// databaseSettings are those of the commands that work on the database itself.
type databaseSettings struct {
	Database        string        `name:"database" secret:"true" default:"sqlite:countersign.db" help:"mysql://user:password@host:port/database or sqlite:PATH"`
	DatabaseTimeout time.Duration `name:"database-timeout" default:"2s" help:"how long the database may be silent"`
	create          bool          // whether a missing SQLite file is made
}

// withStore runs do on the database of the settings.
func withStore(cmd *cobra.Command, env environment, s databaseSettings, do func(context.Context, *sqlstore.Store) error) error {
	logger, err := telemetry.NewLogger(env.stderr, "warn")
	if err != nil {
		return err
	}
	store, err := sqlstore.Open(cmd.Context(), sqlstore.Config{URL: s.Database, Timeout: s.DatabaseTimeout, Existing: !s.create, Logger: logger})
	if err != nil {
		return err
	}
	err = errors.Join(do(cmd.Context(), store), store.Close())
	if errors.Is(err, fault.Unavailable) {
		return fmt.Errorf("%w; is it running, and are address, user and password of --database right?", err)
	}
	return err
}

// withSchema runs do on the database of the settings once its schema is known to fit.
func withSchema(cmd *cobra.Command, env environment, s databaseSettings, do func(context.Context, *sqlstore.Store) error) error {
	return withStore(cmd, env, s, func(ctx context.Context, store *sqlstore.Store) error {
		status, err := store.Status(ctx)
		if err == nil {
			err = status.Check()
		}
		if err != nil {
			return err
		}
		return do(ctx, store)
	})
}

func newMigrateCmd(env environment) *cobra.Command {
	parent := &cobra.Command{Use: "migrate", Short: "Bring the database's schema up to date, or see how it stands"}
	up, status := databaseSettings{create: true}, databaseSettings{}
	upCmd := &cobra.Command{
		Use: "up", Short: "Run the migrations that are missing", Args: arguments(),
		Long: "Run the migrations that are missing. `countersign server` does the same at its start unless it is\n" +
			"told not to (--migrate=false). Several at once are no harm: one does the work, the others wait.",
		Example: "  countersign migrate up --database-file database.url",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &up); err != nil {
				return err
			}
			return withStore(cmd, env, up, func(ctx context.Context, store *sqlstore.Store) error {
				if err := store.Migrate(ctx); err != nil {
					return err
				}
				return printStatus(ctx, env, store)
			})
		},
	}
	config.Bind(upCmd.Flags(), &up)
	statusCmd := &cobra.Command{
		Use: "status", Short: "Tell the schema's level, this binary's, and whether they fit", Args: arguments(),
		Long:    "Tell the schema's level, this binary's, and whether they fit. If they do not, the exit code is 1.",
		Example: "  countersign migrate status --database-file database.url",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &status); err != nil {
				return err
			}
			return withStore(cmd, env, status, func(ctx context.Context, store *sqlstore.Store) error {
				return printStatus(ctx, env, store)
			})
		},
	}
	config.Bind(statusCmd.Flags(), &status)
	asGroup(parent)
	parent.AddCommand(upCmd, statusCmd, newRestoredCmd(env))
	return parent
}

// masterSettings are those of the commands that also need the master key: whatever is changed is recorded, and the audit log is a
// chain under a key that the master key opens.
type masterSettings struct {
	databaseSettings

	MasterKeyFile string `name:"master-key-file" default:"master.key" help:"file with the master key"`
}

// withMaster runs do on the database of the settings, which can then be changed.
func withMaster(cmd *cobra.Command, env environment, s masterSettings, do func(context.Context, *sqlstore.Store, seal.Key) error) error {
	master, err := seal.ReadKeyFile(s.MasterKeyFile)
	if err != nil {
		return err
	}
	return withSchema(cmd, env, s.databaseSettings, func(ctx context.Context, store *sqlstore.Store) error {
		if err := keys.ChainAudit(ctx, store, master); err != nil {
			return err
		}
		return do(ctx, store, master)
	})
}

func newRestoredCmd(env environment) *cobra.Command {
	var settings masterSettings
	cmd := &cobra.Command{
		Use: "restored", Short: "Tell the database that it was restored from a backup", Args: arguments(),
		Long: "Tell the database that it was restored from a backup, or that a replica which lagged was promoted.\n" +
			"Stop every server, restore, run this once, start the servers. It takes back every token, since nobody can\n" +
			"know which of them were revoked after the backup; clients fetch new ones by themselves. Secrets, grants and\n" +
			"signing keys are those of the backup: what was disabled or withdrawn since must be so again.",
		Example: "  countersign migrate restored --database-file database.url --master-key-file master.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			return withMaster(cmd, env, settings, func(ctx context.Context, store *sqlstore.Store, _ seal.Key) error {
				changed := registry.Registry{Store: store, Now: time.Now}
				if err := changed.Restored(ctx, commandActor(cmd)); err != nil {
					return err
				}
				_, err := fmt.Fprintln(env.stdout, "every token is taken back; start the servers")
				return err //nolint:wrapcheck // standard output is gone
			})
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

// printStatus writes how the schema stands. A binary that cannot work with it is an error.
func printStatus(ctx context.Context, env environment, store *sqlstore.Store) error {
	status, err := store.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "database level        %d\nlevel of this binary  %d\noldest level that can work with the database  %d\n",
		status.Database, status.Binary, status.MinCompatible)
	return status.Check()
}
