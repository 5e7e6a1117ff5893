package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/up"
)

// newUpControlCmds are the commands that speak to a running `up` by its control socket.
func newUpControlCmds(env environment) []*cobra.Command {
	one := func(use, short string, args cobra.PositionalArgs) *cobra.Command {
		var settings struct {
			DataDir string `name:"data-dir" default:"./countersign-data" help:"the data folder of the running system"`
		}
		cmd := &cobra.Command{Use: use, Short: short, Args: args}
		cmd.Example = "  countersign up " + strings.Replace(use, "PART", "auth-1", 1)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			command := cmd.Name()
			if len(args) > 0 {
				command += " " + args[0]
			}
			parts, err := up.Tell(cmd.Context(), settings.DataDir, command)
			if err != nil {
				return err
			}
			return printParts(env.stdout, parts)
		}
		config.Bind(cmd.Flags(), &settings)
		return cmd
	}
	return []*cobra.Command{
		one("status", "Show the parts of the running system", arguments()),
		one("stop PART", "End a part; it stays down", arguments("PART")),
		one("kill PART", "End a part by SIGKILL; it stays down", arguments("PART")),
		one("pause PART", "Hang a part by SIGSTOP", arguments("PART")),
		one("start PART", "Start a part again, or let a paused one go on", arguments("PART")),
	}
}

func printParts(out io.Writer, parts []up.PartStatus) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PART\tSTATE\tFOR\tPID\tRESTARTS\tURL\tLOG")
	for _, part := range parts {
		pid := "-"
		if part.PID != 0 {
			pid = strconv.Itoa(part.PID)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			part.Name, part.State, time.Since(part.Since).Round(time.Second), pid, part.Restarts, part.URL, part.Log)
	}
	return table.Flush() //nolint:wrapcheck // standard output is gone
}

// screen is what `up` tells once it is ready.
type screen struct {
	typed     string // how the program was started
	folder    *up.Folder
	bootstrap up.Bootstrap
	ports     up.Ports
	settings  upSettings
	list      string // the line that shows the clients
}

// printScreen writes the map of URLs and the lines to type next. The secrets stay in the file: the lines read them there.
func printScreen(out io.Writer, s screen) {
	database, store := "SQLite in the data folder", "in-process"
	if s.settings.MySQL != "" {
		database = "MySQL (--mysql)"
	}
	if s.settings.Redis != "" {
		store = "Redis (--redis)"
	}
	fmt.Fprintf(out, `Countersign runs on this machine.

  entry          %s    load balancer, in front of
  gateway 1      %s    health and metrics %s
  gateway 2      %s    health and metrics %s
  issuer         %s    load balancer, in front of
  auth server 1  %s    health and metrics %s
  auth server 2  %s    health and metrics %s
  admin          %s    load balancer, in front of their admin ports
  database       %s
  token store    %s
  services       %s for /orders, %s for /inventory: where the gateways look for yours
  data folder    %s
  credentials    %s
  configuration  %s and %s: of the gateways, change it while they run

Get a token as service-a:

  %s

Ask as service-b, which serves that API, what such a token is worth:

  %s

Put a service of your own behind the gateways. Let it listen at %s, and call it as service-a:

  %s

In another terminal, `+"`%s`"+` shows the parts, and `+"`%s`"+`
who may get tokens. Ctrl-C ends everything.

`, s.bootstrap.EntryURL, up.URL(s.ports.Gateways[0]), up.URL(s.ports.GatewayAdmin[0]), up.URL(s.ports.Gateways[1]), up.URL(s.ports.GatewayAdmin[1]),
		s.bootstrap.Issuer, up.URL(s.ports.Auth[0]), up.URL(s.ports.AuthAdmin[0]), up.URL(s.ports.Auth[1]), up.URL(s.ports.AuthAdmin[1]),
		s.bootstrap.AdminURL, database, store, up.Address(s.ports.Services[0]), up.Address(s.ports.Services[1]), s.folder.Path, s.folder.BootstrapPath(),
		s.folder.File(gatewayFile(0)), gatewayFile(1),
		s.tokenLine(), s.introspectLine(), up.Address(s.ports.Services[1]), s.callLine(), s.statusLine(), s.list)
	fmt.Fprintln(out, "countersign: ready", s.bootstrap.Issuer)
}

func (s screen) statusLine() string {
	if s.settings.DataDir == defaultDataDir {
		return s.typed + " up status"
	}
	return s.typed + " up status --data-dir " + up.ShellPath(s.folder.Path)
}

// tokenLine keeps the secret out of sight and out of the process list: curl reads it from a file.
func (s screen) tokenLine() string {
	return fmt.Sprintf("curl -s -K %s -d grant_type=client_credentials %s/oauth2/token", s.folder.CurlPath("service-a"), s.bootstrap.Issuer)
}

func (s screen) introspectLine() string {
	return fmt.Sprintf("curl -s -K %s -d token=$(%s | cut -d'\"' -f4) %s/oauth2/introspect", s.folder.CurlPath("service-b"), s.tokenLine(), s.bootstrap.Issuer)
}

// callLine goes through load balancer and gateway to the inventory service.
func (s screen) callLine() string {
	return fmt.Sprintf("curl -s -H \"Authorization: Bearer $(%s | cut -d'\"' -f4)\" %s/inventory/items", s.tokenLine(), s.bootstrap.EntryURL)
}
