package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/sqlstore"
)

func newMasterKeyCmd(env environment) *cobra.Command {
	parent := &cobra.Command{
		Use: "master-key", Short: "Make or replace the key under which all other keys are sealed",
		Long: "The master key seals every signing key and shared key in the database. It is never in the database:\n" +
			"keep the file apart from the database's backups, and keep a copy. Without it the database is of no use.",
	}
	asGroup(parent)
	parent.AddCommand(newMasterKeyCreateCmd(env), newMasterKeyRotateCmd(env))
	return parent
}

func newMasterKeyCreateCmd(env environment) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use: "create FILE", Short: "Make a new master key in a file that does not exist yet", Args: arguments("FILE"),
		Example: "  countersign master-key create master.key",
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := seal.CreateKeyFile(args[0])
			if errors.Is(err, fs.ErrExist) && keep {
				if _, err := seal.ReadKeyFile(args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintln(env.stdout, args[0], "holds a master key already")
				return err //nolint:wrapcheck // standard output is gone
			}
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists already and was left alone: name a file that does not", args[0])
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(env.stdout, "made", args[0])
			return err //nolint:wrapcheck // standard output is gone
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "end well if the file holds a master key already, for steps that run again and again")
	return cmd
}

func newMasterKeyRotateCmd(env environment) *cobra.Command {
	var settings struct {
		databaseSettings

		MasterKeyFile string `name:"master-key-file" default:"master.key" help:"file with the present master key"`
		NewKeyFile    string `name:"new-master-key-file" default:"master.key.new" help:"file with the new master key; it is made if it does not exist"`
	}
	cmd := &cobra.Command{
		Use: "rotate", Short: "Seal every key in the database anew under another master key", Args: arguments(),
		Long: "Seal every key in the database anew under another master key. No key changes, so no token and no\n" +
			"secret is affected. Running servers go on with the keys that they hold; restart each with the new file.",
		Example: "  countersign master-key rotate --database-file database.url --new-master-key-file master.key.new",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			old, err := seal.ReadKeyFile(settings.MasterKeyFile)
			if err != nil {
				return err
			}
			fresh, err := seal.CreateKeyFile(settings.NewKeyFile)
			if errors.Is(err, fs.ErrExist) {
				fresh, err = seal.ReadKeyFile(settings.NewKeyFile)
			}
			if err != nil {
				return err
			}
			return withSchema(cmd, env, settings.databaseSettings, func(ctx context.Context, store *sqlstore.Store) error {
				// The audit log is sealed under the old key, or under the new one where this ran before.
				if keys.ChainAudit(ctx, store, fresh) != nil {
					if err := keys.ChainAudit(ctx, store, old); err != nil {
						return err
					}
				}
				if err := keys.Reseal(ctx, store, keys.Resealing{Old: old, New: fresh, Actor: commandActor(cmd), Now: time.Now()}); err != nil {
					return err
				}
				_, err := fmt.Fprintf(env.stdout, "sealed anew; restart every server with --master-key-file %s\n", settings.NewKeyFile)
				return err //nolint:wrapcheck // standard output is gone
			})
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

// commandActor is who acts when a command works on the database itself.
func commandActor(cmd *cobra.Command) auth.Actor { return auth.Actor{Name: cmd.CommandPath()} }
