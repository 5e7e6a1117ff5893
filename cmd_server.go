package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
)

func newServerCmd(env environment) *cobra.Command {
	var settings instance.Settings
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run one authorization server",
		Long: "Run one authorization server: the public endpoints on one port, health and metrics on another.\n" +
			"Any number of instances may share a database. Each setting below has three names: the flag, the\n" +
			"environment variable, and the key in the YAML file that --config names; flags win over variables,\n" +
			"variables over the file. Traces are exported by OTLP when the standard OTEL_* variables ask for it.\n" +
			"The first start on a database makes the client \"admin\" of the admin API. Its secret is the one in the\n" +
			"file of --bootstrap-admin-secret-file, or is made, and printed once, on standard output.",
		Example: "  countersign master-key create master.key && countersign server\n" +
			"  countersign server --issuer https://auth.example.com --listen :9000 --admin-listen :9090 \\\n" +
			"    --database-file database.url --token-store redis://redis.internal:6379 --master-key-file master.key",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			if err := settings.Validate(); err != nil {
				return usageError{err}
			}
			return runServing(env, func(log io.Writer) error {
				logger, err := telemetry.NewLogger(log, settings.LogLevel)
				if err != nil {
					return usageError{err}
				}
				return instance.Run(cmd.Context(), instance.Config{
					Settings: settings, Environ: env.environ, Version: version, Logger: logger, Now: time.Now,
					FirstAdmin: func(id auth.ClientID, secret auth.SecretValue) {
						// One line for people, apart from the log, which is JSON on standard error.
						fmt.Fprintf(env.stdout, "countersign: bootstrap admin: client_id %s client_secret %s (it is not shown again)\n", id, secret.Reveal())
					},
				})
			})
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}
