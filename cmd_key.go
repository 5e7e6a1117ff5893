package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/sqlstore"
)

func newKeyCmd(env environment) *cobra.Command {
	parent := &cobra.Command{
		Use: "key", Short: "List and rotate signing keys",
		Long: "List and rotate signing keys. These commands work on the database itself, so they need its address\n" +
			"and the master key. Servers rotate keys by schedule without them (--key-rotation).",
	}
	asGroup(parent)
	parent.AddCommand(newKeyListCmd(env), newKeyRotateCmd(env))
	return parent
}

func newKeyListCmd(env environment) *cobra.Command {
	var settings databaseSettings
	cmd := &cobra.Command{
		Use: "list", Short: "List signing keys and where each is in its life", Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			return withSchema(cmd, env, settings, func(ctx context.Context, store *sqlstore.Store) error {
				return printKeys(ctx, env, store)
			})
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

func printKeys(ctx context.Context, env environment, store *sqlstore.Store) error {
	var all []*auth.Key
	err := store.View(ctx, func(tx auth.Tx) (err error) {
		all, err = tx.Keys().SigningKeys(ctx)
		return err
	})
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KID\tALGORITHM\tSTATE\tACTIVE FROM")
	for _, key := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", key.ID, key.Algorithm, keys.State(key, all, time.Now()), key.ActiveAt.UTC().Format(time.RFC3339))
	}
	return table.Flush()
}

func newKeyRotateCmd(env environment) *cobra.Command {
	var settings masterSettings
	var algorithm string
	var ahead time.Duration
	var compromised bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make the next signing key of an algorithm", Args: arguments(),
		Long: "Make the next signing key of an algorithm. It is published now and signs later, when every verifier has\n" +
			"seen it. With --compromised the current key is withdrawn at once: all that it signed is refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			if ahead < keys.MinPublishAhead && !compromised {
				return usageError{fmt.Errorf("--publish-ahead is %v: at least %v is allowed, since verifiers must see a key before it signs; "+
					"only --compromised replaces a key at once", ahead, keys.MinPublishAhead)}
			}
			return withMaster(cmd, env, settings, func(ctx context.Context, store *sqlstore.Store, master seal.Key) error {
				now := time.Now()
				made, err := keys.Rotate(ctx, store, master, keys.Rotation{
					Algorithm: auth.Algorithm(algorithm), ActiveAt: now.Add(ahead), Compromised: compromised, Actor: commandActor(cmd), Now: now,
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(env.stdout, "made %s (%s), which signs from %s\n", made.ID, made.Algorithm, made.ActiveAt.UTC().Format(time.RFC3339))
				return nil
			})
		},
	}
	config.Bind(cmd.Flags(), &settings)
	cmd.Flags().StringVar(&algorithm, "algorithm", string(auth.ES256), "ES256, RS256, PS256 or EdDSA")
	cmd.Flags().DurationVar(&ahead, "publish-ahead", keys.PublishAhead, "how long the key is published before it signs; at least "+keys.MinPublishAhead.String())
	cmd.Flags().BoolVar(&compromised, "compromised", false, "withdraw the current key at once")
	return cmd
}
