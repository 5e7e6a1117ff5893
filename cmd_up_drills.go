package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/instance"
)

// interpose puts fault proxies between the parts: in front of MySQL and Redis, if there are any, and, for the load balancer, in front of
// one gateway and one auth server, health checks included. It returns the ports as the load balancer is to see them, and has settings lead
// through the proxies.
func interpose(faults *up.Faults, ports up.Ports, settings *upSettings) (seen up.Ports, err error) {
	seen = ports
	for _, one := range []outsideServer{
		{"database", "the auth servers and MySQL", "mysql", "3306", &settings.MySQL},
		{"token-store", "the auth servers and Redis", "redis", "6379", &settings.Redis},
	} {
		if *one.address == "" {
			continue
		}
		if *one.address, err = one.through(faults); err != nil {
			return seen, err
		}
	}
	for _, one := range []struct {
		name, between string
		port, health  *int
	}{
		{"gateway-1", "the load balancer and gateway-1", &seen.Gateways[0], &seen.GatewayAdmin[0]},
		{"auth-1", "the load balancer and auth-1", &seen.Auth[0], &seen.AuthAdmin[0]},
	} {
		addresses, err := faults.Add(one.name, one.between, up.Address(*one.port), up.Address(*one.health))
		if err != nil {
			return seen, err
		}
		for i, port := range []*int{one.port, one.health} {
			if *port, err = portOf(addresses[i]); err != nil {
				return seen, err
			}
		}
	}
	return seen, nil
}

// divert has the load balancer go through the proxies.
func divert(parts []up.Part, seen up.Ports, settings instance.Settings) {
	for i := range parts {
		if parts[i].Role == roleBalancer {
			parts[i].Settings = balancerDocument(seen, settings)
		}
	}
}

// outsideServer is a server that `up` does not run itself.
type outsideServer struct {
	name, between, scheme, port string
	address                     *string // its URL
}

// through returns the server's address as it is behind a fault proxy. No error holds it: it may have a password.
func (o outsideServer) through(faults *up.Faults) (string, error) {
	u, err := url.Parse(*o.address)
	if err != nil || u.Hostname() == "" {
		return "", usageError{fmt.Errorf("--drills puts a proxy in front of the %s, whose address is malformed", o.name)}
	}
	if u.Scheme != o.scheme || u.Query().Get("tls") == "true" {
		return "", usageError{fmt.Errorf("--drills puts a proxy at 127.0.0.1 in front of the %s: allowed is an address %s://… of one server whose certificate is not checked", o.name, o.scheme)}
	}
	target := u.Host
	if u.Port() == "" {
		target = net.JoinHostPort(u.Hostname(), o.port)
	}
	addresses, err := faults.Add(o.name, o.between, target)
	if err != nil {
		return "", err
	}
	u.Host = addresses[0]
	return u.String(), nil
}

// databaseKind and storeKind tell the drills what there is to break.
func databaseKind(s instance.Settings) string {
	kind, _, _ := strings.Cut(s.Database, ":")
	return kind
}

func storeKind(s instance.Settings) string {
	if s.TokenStore == instance.DefaultSettings().TokenStore {
		return s.TokenStore
	}
	return "redis"
}

func portOf(address string) (int, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return 0, fmt.Errorf("find the port of a fault proxy: %w", err)
	}
	return resolved.Port, nil
}

// newUpFaultCmd breaks a connection of a running `up --drills`.
func newUpFaultCmd(env environment) *cobra.Command {
	var settings struct {
		DataDir string `name:"data-dir" default:"./countersign-data" help:"the data folder of the running system"`
	}
	cmd := &cobra.Command{
		Use:   "fault [NAME MODE]",
		Short: "Break a connection of a system that was started with --drills",
		Long: "Break a connection between two parts of a system that was started with `countersign up --drills`, or mend it. MODE is pass,\n" +
			"delay (200 ms each way), refuse, hang (nothing comes until it passes again) or black-hole (what is sent is lost). Without NAME it shows what there is.",
		Example: "  countersign up fault\n  countersign up fault gateway-1 black-hole\n  countersign up fault gateway-1 pass",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return arguments("NAME", "MODE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			command := "status"
			if len(args) > 0 {
				command = "fault " + args[0] + " " + args[1]
			}
			answer, err := up.Ask(cmd.Context(), settings.DataDir, command)
			if err != nil {
				return err
			}
			if len(answer.Faults) == 0 {
				return errors.New("there is no fault proxy: start the system with `countersign up --drills`")
			}
			for _, f := range answer.Faults {
				if _, err := fmt.Fprintf(env.stdout, "%-12s %-11s between %s\n", f.Name, f.Mode, f.Between); err != nil {
					return err //nolint:wrapcheck // standard output is gone
				}
			}
			return nil
		},
	}
	config.Bind(cmd.Flags(), &settings)
	return cmd
}
