package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/config"
)

// gatewaySettings are how the gateway is called. What it does is in the document that Config names.
type gatewaySettings struct {
	Config   string `name:"config" default:"gateway.yaml" help:"YAML file with listeners, issuers, pools and routes"`
	Check    bool   `name:"check-config" default:"false" help:"look at the configuration, and end"`
	Schema   bool   `name:"schema" default:"false" help:"print the JSON Schema of the configuration, and end"`
	LogLevel string `name:"log-level" default:"" oneof:"|debug|info|warn|error" help:"debug, info, warn or error, in place of the configuration's"`
}

func newGatewayCmd(env environment) *cobra.Command {
	var settings gatewaySettings
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run one API gateway",
		Long: "Run one API gateway: it forwards requests to services by the routes of its configuration and lets in only who\n" +
			"may. The configuration is read again when its file changes or on SIGHUP, without a request lost; a wrong one is\n" +
			"refused with a message and the old one goes on. Traces are exported by OTLP when the standard OTEL_* variables ask for it.",
		Example: "  countersign gateway --config gateway.yaml\n  countersign gateway --config gateway.yaml --check-config\n" +
			"  countersign gateway --schema > gateway.schema.json\n  countersign gateway explain GET https://api.example.com/inventory/items --token-file token",
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			switch {
			case settings.Schema:
				return printSchema(env.stdout, gateway.Schema)
			case settings.Check:
				if err := gateway.Check(settings.Config); err != nil {
					return usageError{err}
				}
				_, err := fmt.Fprintf(env.stdout, "%s: ok\n", settings.Config)
				return err //nolint:wrapcheck // standard output is gone
			}
			return runGateway(cmd.Context(), env, settings)
		},
	}
	config.Bind(cmd.Flags(), &settings)
	cmd.AddCommand(newGatewayExplainCmd(env))
	return cmd
}

// printSchema writes the JSON Schema of a document.
func printSchema(out io.Writer, schema func() ([]byte, error)) error {
	text, err := schema()
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err //nolint:wrapcheck // standard output is gone
}

func runGateway(ctx context.Context, env environment, settings gatewaySettings) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	return runServing(env, func(log io.Writer) error {
		return gateway.Run(ctx, gateway.RunConfig{
			Path: settings.Config, Reload: reload, Stderr: log, LogLevel: settings.LogLevel, Environ: env.environ, Version: version, Now: time.Now,
		})
	})
}

func newGatewayExplainCmd(env environment) *cobra.Command {
	var settings struct {
		Config   string        `name:"config" default:"gateway.yaml" help:"the gateway's configuration"`
		Token    string        `name:"token" secret:"true" help:"the token that the request bears; - reads it from standard input"`
		Output   string        `name:"output" short:"o" default:"text" oneof:"text|json" help:"text or json"`
		Patience time.Duration `name:"timeout" default:"10s" help:"how long the authorization server may take"`
	}
	cmd := &cobra.Command{
		Use:   "explain METHOD URL",
		Short: "Tell which route a request takes, and what would be decided",
		Long: "Tell which route of the configuration a request takes, what it asks for, whether the request would be let in and why,\n" +
			"and where it would go. Nothing is sent to an upstream; the authorization server is asked where the decision needs it.\n" +
			"The exit code is 1 if the request would be refused.",
		Example: "  countersign gateway explain GET https://api.example.com/inventory/items\n" +
			"  countersign token get … | countersign gateway explain POST https://api.example.com/orders --token -",
		Args: arguments("METHOD", "URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			address, err := requestURL(args[1])
			if err != nil {
				return usageError{err}
			}
			token, err := readToken(env.stdin, settings.Token)
			if err != nil {
				return usageError{err}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), settings.Patience)
			defer cancel()
			explanation, err := gateway.Explain(ctx, settings.Config, args[0], address, token)
			if err != nil {
				return usageError{err}
			}
			if settings.Output == "json" {
				err = printJSON(env.stdout, explanation)
			} else {
				err = explanation.Write(env.stdout)
			}
			if err == nil && explanation.Status != http.StatusOK {
				err = errors.New("the request would be refused")
			}
			return err
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}

// requestURL reads the URL of a request. Without scheme and host it is for any host.
func requestURL(text string) (*url.URL, error) {
	address, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(address.EscapedPath(), "/") && (address.Path != "" || address.Host == "") {
		return nil, fmt.Errorf("got URL %q: want one such as https://api.example.com/items, or a path", text)
	}
	if address.Path == "" {
		address.Path = "/"
	}
	return address, nil
}

// readToken returns the token itself, or the one on standard input.
func readToken(in io.Reader, given string) (string, error) {
	if given != "-" {
		return given, nil
	}
	text, err := io.ReadAll(io.LimitReader(in, http.DefaultMaxHeaderBytes))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", errors.New("standard input holds no token")
	}
	return token, nil
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value) //nolint:wrapcheck // standard output is gone
}
