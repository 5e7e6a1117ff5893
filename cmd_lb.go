package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/lb/balancer"
)

// lbSettings are how the load balancer is called. What it does is in the document that Config names.
type lbSettings struct {
	Config   string `name:"config" default:"lb.yaml" help:"YAML file with listeners and pools"`
	Check    bool   `name:"check-config" default:"false" help:"look at the configuration, and end"`
	Schema   bool   `name:"schema" default:"false" help:"print the JSON Schema of the configuration, and end"`
	LogLevel string `name:"log-level" default:"" oneof:"|debug|info|warn|error" help:"debug, info, warn or error, in place of the configuration's"`
}

func newLBCmd(env environment) *cobra.Command {
	var settings lbSettings
	cmd := &cobra.Command{
		Use:   "lb",
		Short: "Run one load balancer",
		Long: "Run one load balancer: each listener of its configuration spreads requests, or connections, over a pool of upstreams.\n" +
			"The configuration is read again when its file changes or on SIGHUP, without a request lost; a wrong one is refused\n" +
			"with a message and the old one goes on. Traces are exported by OTLP when the standard OTEL_* variables ask for it.",
		Example: "  countersign lb --config lb.yaml\n  countersign lb --config lb.yaml --check-config\n" +
			"  countersign lb --schema > lb.schema.json\n  kill -HUP PID",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			switch {
			case settings.Schema:
				return printSchema(env.stdout, balancer.Schema)
			case settings.Check:
				if err := balancer.Check(settings.Config); err != nil {
					return usageError{err}
				}
				_, err := fmt.Fprintf(env.stdout, "%s: ok\n", settings.Config)
				return err //nolint:wrapcheck // standard output is gone
			}
			return runLB(cmd.Context(), env, settings)
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

func runLB(ctx context.Context, env environment, settings lbSettings) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	return runServing(env, func(log io.Writer) error {
		return balancer.Run(ctx, balancer.Config{
			Path: settings.Config, Reload: reload, Stderr: log, LogLevel: settings.LogLevel, Environ: env.environ, Version: version, Now: time.Now,
		})
	})
}
