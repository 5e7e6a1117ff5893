package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/lb/balancer"
	"github.com/countersign/countersign/server/instance"
)

// partCommand is the hidden command under which `up` starts its parts.
const partCommand = "part"

// The roles that a part can have.
const (
	roleServer   = "server"
	roleBalancer = "lb"
	roleGateway  = "gateway"
	roleServiceA = "service-a"
	roleServiceB = "service-b"
)

func newPartCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use: partCommand + " ROLE", Short: "Run one part of `up`", Hidden: true, Args: arguments("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch role := args[0]; role {
			case roleServer:
				return runServerPart(cmd.Context(), env)
			case roleBalancer:
				return runBalancerPart(cmd.Context(), env)
			case roleGateway:
				return runGatewayPart(cmd.Context(), env)
			case roleServiceA:
				return runServiceAPart(cmd.Context(), env)
			case roleServiceB:
				return runServiceBPart(cmd.Context(), env)
			default:
				return usageError{fmt.Errorf("unknown part %q: this command is for the parts of `up` alone", role)}
			}
		},
	}
}

func runServerPart(ctx context.Context, env environment) error {
	var settings instance.Settings
	ctx, err := up.Leash(ctx, &settings)
	if err != nil {
		return err
	}
	return runServing(env, func(log io.Writer) error {
		logger, err := telemetry.NewLogger(log, settings.LogLevel)
		if err != nil {
			return err
		}
		return instance.Run(ctx, instance.Config{Settings: settings, Environ: env.environ, Version: version, Logger: logger, Now: time.Now})
	})
}

func runBalancerPart(ctx context.Context, env environment) error {
	var text json.RawMessage
	ctx, err := up.Leash(ctx, &text)
	if err != nil {
		return err
	}
	return runServing(env, func(log io.Writer) error {
		return balancer.Run(ctx, balancer.Config{Text: text, Stderr: log, Environ: env.environ, Version: version, Now: time.Now})
	})
}

// gatewayPart is what a gateway is told by `up`.
type gatewayPart struct {
	Config string `json:"config"` // the file of its configuration, which it follows
}

func runGatewayPart(ctx context.Context, env environment) error {
	var part gatewayPart
	ctx, err := up.Leash(ctx, &part)
	if err != nil {
		return err
	}
	return runGateway(ctx, env, gatewaySettings{Config: part.Config})
}
