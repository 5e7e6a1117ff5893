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
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

func newAdminCmd(env environment) *cobra.Command {
	parent := &cobra.Command{Use: "admin", Short: "Get into the admin API: the first secret, and the way back"}
	asGroup(parent)
	parent.AddCommand(newRecoverCmd(env), newSecretValueCmd(env))
	return parent
}

func newRecoverCmd(env environment) *cobra.Command {
	var settings masterSettings
	var client string
	cmd := &cobra.Command{
		Use: "recover", Short: "Make a client that may do everything by the admin API", Args: arguments(),
		Long: "Make a client that may do everything by the admin API, when nobody is left who can or has the secret.\n" +
			"It works on the database itself, so it needs its address and the master key; servers may run meanwhile.\n" +
			"The audit log tells of it. With --client it is a client that exists: it is enabled and gets one secret more,\n" +
			"and those that it has may do everything as well. The secret is printed once.",
		Example: "  countersign admin recover --database-file database.url --master-key-file master.key\n" +
			"  countersign admin recover --database sqlite:countersign-data/countersign.db \\\n" +
			"    --master-key-file countersign-data/master.key --client admin",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			if cmd.Flags().Changed("client") && client == "" {
				return usageError{fmt.Errorf(`--client is "": allowed is the name or the id of a client`)}
			}
			return withMaster(cmd, env, settings, func(ctx context.Context, store *sqlstore.Store, master seal.Key) error {
				changed, err := seed.System(ctx, store, master, time.Now)
				if err != nil {
					return err
				}
				made, err := changed.RecoverAdmin(ctx, commandActor(cmd), client)
				if errors.Is(err, fault.NotFound) && client != "" {
					return fmt.Errorf("there is no client with the name or id %q; without --client a new one is made", client)
				}
				if err != nil {
					return err
				}
				return printAdmin(env, made)
			})
		},
	}
	config.Bind(cmd.Flags(), &settings)
	cmd.Flags().StringVar(&client, "client", "", "name or id of a `client` that exists; without it one is made")
	return cmd
}

func printAdmin(env environment, made *registry.Admin) error {
	_, err := fmt.Fprintf(env.stdout, "name           %s\nclient_id      %s\nclient_secret  %s\nresource       %s\n",
		made.Client.Name, made.Client.ID, made.Value.Reveal(), auth.AdminAPI)
	return err //nolint:wrapcheck // standard output is gone
}

func newSecretValueCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use: "secret-value", Short: "Print a new secret that no client has yet", Args: arguments(),
		Long: "Print a new secret that no client has yet, such as for `countersign server --bootstrap-admin-secret-file`:\n" +
			"256 random bits in the form that servers make. Nothing is stored. Write it to a file that only its owner\n" +
			"may read.",
		Example: "  (umask 077; countersign admin secret-value > admin.secret)",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(env.stdout, auth.NewSecretValue().Reveal())
			return err //nolint:wrapcheck // standard output is gone
		},
	}
}
