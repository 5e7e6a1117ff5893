package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	servicea "github.com/countersign/countersign/demo-services/service-a"
	serviceb "github.com/countersign/countersign/demo-services/service-b"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkredis"
)

// demoSettings are what both demo services are told.
type demoSettings struct {
	Issuer           string   `name:"issuer" default:"http://127.0.0.1:9000" help:"issuer identifier of the authorization server"`
	ClientID         string   `name:"client-id" help:"of this service"`
	ClientSecretFile string   `name:"client-secret-file" help:"file with its secret; read again when the issuer refuses the secret"`
	CAFile           string   `name:"ca-file" help:"PEM file with the certificates of the authorities that are believed; by default the system's"`
	TLSCert          string   `name:"tls-cert" help:"PEM file with the service's own certificate chain; without it the service speaks plain HTTP"`
	TLSKey           string   `name:"tls-key" help:"PEM file with its private key"`
	TrustedProxies   []string `name:"trusted-proxies" help:"addresses and networks whose X-Forwarded-For and X-Request-Id are believed"`
	LogLevel         string   `name:"log-level" default:"info" oneof:"debug|info|warn|error" help:"debug, info, warn or error"`
}

// validate checks what both services need.
func (s *demoSettings) validate() error {
	var errs []error
	if s.ClientID == "" {
		errs = append(errs, errors.New("setting client_id is missing: the id of this service, cl_…"))
	}
	if s.ClientSecretFile == "" {
		errs = append(errs, errors.New("setting client_secret_file is missing: the file with this service's secret"))
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		errs = append(errs, errors.New("settings tls_cert and tls_key go together: one of them is missing"))
	}
	return errors.Join(errs...)
}

type serviceASettings struct {
	Listen      string `name:"listen" default:"127.0.0.1:7001" help:"address of the service"`
	AdminListen string `name:"admin-listen" default:"127.0.0.1:7091" help:"address of health and metrics"`
	Inventory   string `name:"inventory-url" default:"http://127.0.0.1:8080/inventory" help:"where the inventory service is reached"`
	Resource    string `name:"resource" default:"https://inventory.demo.internal" help:"identifier of the inventory's API: the audience of the tokens"`
	demoSettings
}

type serviceBSettings struct {
	Listen       string `name:"listen" default:"127.0.0.1:7002" help:"address of the service"`
	AdminListen  string `name:"admin-listen" default:"127.0.0.1:7092" help:"address of health and metrics"`
	Audience     string `name:"audience" default:"https://inventory.demo.internal" help:"identifier of the API that the service serves"`
	TokenStore   string `name:"token-store" secret:"true" help:"redis://[user:password@]host:port/db, rediss://… or redis+sentinel://…: the issuer's token store, which the service may read; without it the issuer is asked"`
	TokenStoreID string `name:"token-store-api-id" help:"id of the API, api_…, under which the store keeps its tokens"`
	demoSettings
}

func newDemoCmd(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The demo: an order service that asks an inventory service",
		Long: "The demo: service A takes orders, and asks service B, the inventory, through load balancer and gateway. `countersign up`\n" +
			"runs both; these commands run one of them elsewhere.",
	}
	asGroup(cmd)
	cmd.AddCommand(newDemoTraceCmd(env), newServiceACmd(env), newServiceBCmd(env))
	return cmd
}

func newServiceACmd(env environment) *cobra.Command {
	var settings serviceASettings
	cmd := &cobra.Command{
		Use: "service-a", Short: "Run the order service, which calls", Args: arguments(),
		Long: "Run the order service. GET /orders tells what can be ordered; POST /orders, {\"item\": \"anvil\", \"quantity\": 2}, orders it.\n" +
			"Anybody may call it: in the demo the user does. It asks the inventory in its own name.",
		Example: "  countersign demo service-a --client-id cl_… --client-secret-file service-a.secret --inventory-url https://api.example.com/inventory",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			if err := settings.validate(); err != nil {
				return usageError{err}
			}
			return runServiceA(cmd.Context(), env, settings)
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

func newServiceBCmd(env environment) *cobra.Command {
	var settings serviceBSettings
	cmd := &cobra.Command{
		Use: "service-b", Short: "Run the inventory service, which is called", Args: arguments(),
		Long: "Run the inventory service. GET /inventory/items wants a token with inventory:read, POST /inventory/reservations one with\n" +
			"inventory:write.",
		Example: "  countersign demo service-b --client-id cl_… --client-secret-file service-b.secret",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			err := settings.validate()
			if (settings.TokenStore == "") != (settings.TokenStoreID == "") {
				err = errors.Join(err, errors.New("settings token_store and token_store_api_id go together: one of them is missing"))
			}
			if err != nil {
				return usageError{err}
			}
			return runServiceB(cmd.Context(), env, settings)
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

func runServiceA(ctx context.Context, env environment, s serviceASettings) error {
	frame := demoFrame{name: "service-a", listen: s.Listen, adminListen: s.AdminListen, settings: s.demoSettings}
	return frame.run(ctx, env, func(p demoParts) (demoService, error) {
		return servicea.New(servicea.Config{
			Issuer: s.Issuer, ClientID: s.ClientID, Auth: sdk.SecretFile(s.ClientSecretFile), Resource: s.Resource, Inventory: s.Inventory,
			HTTP: p.http, Log: p.log, Tracers: p.tracers, Meters: p.meters,
		})
	})
}

func runServiceB(ctx context.Context, env environment, s serviceBSettings) error {
	c := serviceb.Config{
		Issuer: s.Issuer, ClientID: s.ClientID, Auth: sdk.SecretFile(s.ClientSecretFile), Audience: s.Audience, APIID: s.TokenStoreID,
	}
	if s.TokenStore != "" {
		records, err := sdkredis.Open(s.TokenStore)
		if err != nil {
			return usageError{fmt.Errorf("setting token_store: %w", err)}
		}
		defer func() { _ = records.Close() }()
		c.Records = records
	}
	frame := demoFrame{name: "service-b", listen: s.Listen, adminListen: s.AdminListen, settings: s.demoSettings}
	return frame.run(ctx, env, func(p demoParts) (demoService, error) {
		c.HTTP, c.Log, c.Tracers, c.Meters = p.http, p.log, p.tracers, p.meters
		return serviceb.New(c)
	})
}

func runServiceAPart(ctx context.Context, env environment) error {
	var settings serviceASettings
	ctx, err := up.Leash(ctx, &settings)
	if err != nil {
		return err
	}
	return runServiceA(ctx, env, settings)
}

func runServiceBPart(ctx context.Context, env environment) error {
	var settings serviceBSettings
	ctx, err := up.Leash(ctx, &settings)
	if err != nil {
		return err
	}
	return runServiceB(ctx, env, settings)
}
